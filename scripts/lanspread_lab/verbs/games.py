"""`game`: plans a game, and puts it into the catalogs and onto the disks of peers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lanspread_lab.errors import LabError
from lanspread_lab.fixtures import make_game
from lanspread_lab.places import check_name

if TYPE_CHECKING:
    from lanspread_lab.core import Core

RELOAD = "reload-catalog"


async def game(core: Core, arguments: dict[str, Any]) -> dict[str, Any]:
    """Plan a game, or another version of one."""
    world = core.world
    game_id = check_name(str(arguments["game"]), "game")
    peers = [world.peer(name) for name in arguments.get("at", ())]
    before = world.games.get(game_id)
    if before is not None and not arguments.get("version"):
        raise LabError(
            "lab-usage",
            f"there is a game {game_id} of version {before.version}",
            "give another --version to publish an update",
        )
    if world.lab.peers and not core.fields.knows(RELOAD):
        raise LabError(
            "lab-unsupported",
            f"this binary reads its catalog at the start only: it has no {RELOAD}",
            "make all games before the first peer, or open the lab with a newer --binary",
        )
    made = await make_game(world, game_id, arguments)
    for peer in peers:
        await world.lab.put(made, peer)
    await world.lab.publish(made)
    world.games[game_id] = made
    core.steps.game(made, arguments)
    return {
        "game": game_id,
        "version": made.version,
        "bytes": made.size,
        "files": {path: content.size for path, content in made.files.items()},
        "at": [peer.name for peer in peers],
    }
