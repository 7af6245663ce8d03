"""`peer`: adds a peer and starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lanspread_harness.backends import Need
from lanspread_lab.errors import LabError
from lanspread_lab.places import check_name
from lanspread_lab.values import size_bytes

if TYPE_CHECKING:
    from lanspread_lab.core import Core

MIB = 1024 * 1024


async def peer(core: Core, arguments: dict[str, Any]) -> dict[str, Any]:
    """Start a peer that holds games, and connect it to the others unless mDNS does that."""
    world = core.world
    name = check_name(str(arguments["peer"]), "peer")
    if any(other.name == name for other in world.lab.peers):
        raise LabError(
            "lab-peer-exists",
            f"there is a peer {name}",
            f"`fault LAB restart {name}` starts it again",
        )
    games = [world.game(game_id) for game_id in arguments.get("games", ())]
    options: dict[str, Any] = {"games": games}
    if arguments.get("mdns"):
        core.require(Need.MDNS)
        options["mdns"] = True
    if arguments.get("disk"):
        core.require(Need.DISKS)
        options["disk_mib"] = max(1, size_bytes(arguments["disk"]) // MIB)
    for option in ("upload_limit", "network_key"):
        if arguments.get(option):
            options[option] = arguments[option]
    if arguments.get("peer_timeout_s"):
        timeout_s = max(3, round(arguments["peer_timeout_s"]))
        options |= {"peer_timeout_s": timeout_s, "ping_after_s": timeout_s // 3}
    if arguments.get("auto_install"):
        options["auto_install"] = True
    others = [other for other in world.lab.peers if other.running and not other.frozen]
    added = await world.lab.peer(name, **options)
    connected = []
    wanted = arguments.get("connect")
    if wanted is None and not arguments.get("mdns") and not arguments.get("alone"):
        wanted = [other.name for other in others]
    for other in wanted or ():
        await added.connect(world.running(other))
        connected.append(other)
    core.steps.peer(name, options, connected)
    return {
        "peer": name,
        "peer_id": added.peer_id,
        "addr": added.addr,
        "games": [game.id for game in games],
        "connected": connected,
        "games_dir": str(added.games_dir),
        "log": str(added.stderr),
    }
