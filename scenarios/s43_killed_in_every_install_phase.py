"""kill -9 in every phase of an installation: after restart old or new, never half."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from lanspread_harness import MIB, Game, Lab, Meta, Peer, expect, expect_equal, tree_digest

META = Meta(timeout_s=180, expected_s=16, cores=0.7)

OLD_VERSION = "20230101"
ENTRIES = {
    "bin/game.exe": 64 * MIB,
    "data/map.bsp": 64 * MIB,
    **{f"data/sounds/{number}.wav": 100 for number in range(400)},
    "readme.txt": 10,
}
"""So much that unpacking takes longer than a kill needs to arrive, also in a container whose
process cannot be seen from here: 0.3 s."""

OLD_FILES = 3_000
"""Many, so that removing the old installation takes a while as well."""

ATTEMPTS_MAX = 5
"""How often a phase is tried for that a late kill has missed."""

UNPACKING = frozenset({"unpacking"})
PUT_IN_PLACE = frozenset({"aside", "replaced", "new"})
"""From the first rename on. Where the engine must do it, a kill takes 0.3 s, and then the old
installation is often gone already."""

SIGHT_TIMEOUT_S = 30.0

INSTALLING, BACKUP, LOCAL = ".local.installing", ".local.backup", "local"
MARKER = ".lanspread_owned"


@dataclass
class Findings:
    """What was on disk at the kills, and what there was after the restarts."""

    phases: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": await lab.rar("quake", ENTRIES)})
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo", games=[game])
    root = bravo.root(game)
    await bravo.install(game)
    new = await digest(root)
    await bravo.kill()
    replaced = Findings()

    async def replace_while(seen: Callable[[], bool]) -> None:
        await put_old_in_place(root)
        old = await digest(root)
        await bravo.start()
        await bravo.connect(alpha)
        before = bravo.mark()
        await bravo.update(game, install=True)
        await kill_when(seen, bravo, before)
        replaced.phases.append(phase(root))
        await bravo.start()
        after = await digest(root)
        expect(after in (old, new), "local/ is the old one or the new one", len(after))
        replaced.outcomes.append("old" if after == old else "new")
        await expect_settled(bravo, game, installed=True)
        await bravo.kill()

    installing, backup = root / INSTALLING, root / BACKUP
    await until_hit(UNPACKING, replaced, replace_while, installing.exists)
    await until_hit(UNPACKING, replaced, replace_while, (installing / "data").exists)
    await until_hit(PUT_IN_PLACE, replaced, replace_while, backup.exists)
    await until_hit(PUT_IN_PLACE, replaced, replace_while, lambda: is_half_removed(backup))
    lab.note(f"replacing an installation: {replaced}")
    expect_equal({"old", "new"}, set(replaced.outcomes), "both outcomes are seen")

    await first_installation(lab, bravo, game, new)
    await removal(lab, bravo, game)


async def first_installation(lab: Lab, bravo: Peer, game: Game, new: dict[str, str]) -> None:
    root = bravo.root(game)
    found = Findings()

    async def install_while(seen: Callable[[], bool]) -> None:
        await bravo.start()
        if (root / LOCAL).exists():
            await bravo.command("uninstall", game_id=game.id, wait=True)
        before = bravo.mark()
        await bravo.command("install", game_id=game.id)
        await kill_when(seen, bravo, before)
        found.phases.append(phase(root))
        await bravo.start()
        after = await digest(root)
        expect(after in ({}, new), "local/ is not there, or it is whole", len(after))
        found.outcomes.append("new" if after else "none")
        await expect_settled(bravo, game, installed=bool(after))
        await bravo.kill()

    await until_hit(UNPACKING, found, install_while, (root / INSTALLING).exists)
    await until_hit(PUT_IN_PLACE, found, install_while, (root / LOCAL).exists)
    lab.note(f"a first installation: {found}")


async def removal(lab: Lab, bravo: Peer, game: Game) -> None:
    root = bravo.root(game)
    found = Findings()

    async def uninstall_while(seen: Callable[[], bool]) -> None:
        await put_old_in_place(root)
        old = await digest(root)
        await bravo.start()
        before = bravo.mark()
        await bravo.command("uninstall", game_id=game.id)
        await kill_when(seen, bravo, before)
        found.phases.append(phase(root))
        await bravo.start()
        after = await digest(root)
        expect(after in ({}, old), "local/ is gone, or it is whole", len(after))
        found.outcomes.append("old" if after else "none")
        await expect_settled(bravo, game, installed=bool(after))
        await bravo.kill()

    await until_hit(frozenset({"removed"}), found, uninstall_while, (root / BACKUP).exists)
    lab.note(f"a removal: {found}")
    await bravo.start()


async def until_hit(
    wanted: frozenset[str],
    found: Findings,
    attempt: Callable[[Callable[[], bool]], Awaitable[None]],
    seen: Callable[[], bool],
) -> None:
    """Attempt it until a kill has hit the phase; whatever it hits is held to the promise."""
    for _ in range(ATTEMPTS_MAX):
        await attempt(seen)
        if found.phases[-1] in wanted:
            return
    expect(False, f"a kill hits a phase of {sorted(wanted)}", found)


async def kill_when(seen: Callable[[], bool], peer: Peer, since: int) -> None:
    """Kill the peer as soon as the disk shows what is waited for, or once all is over unseen."""

    def is_over() -> bool:
        ends = ("install-finished", "uninstall-finished")
        return any(peer.events(name, since=since) for name in ends)

    def watch() -> bool:
        until = time.monotonic() + SIGHT_TIMEOUT_S
        while time.monotonic() < until:
            if seen() or is_over():
                return True
        return False

    sighted = await asyncio.to_thread(watch)
    await peer.kill()
    expect(sighted, f"{peer.name} comes to the phase, or to the end")


def phase(root: Path) -> str:
    """How far the dead peer was, by what it left."""
    installing, backup, local = (
        (root / name / MARKER).exists() or (root / name).exists()
        for name in (INSTALLING, BACKUP, LOCAL)
    )
    if installing:
        return "aside" if backup and not local else "unpacking"
    if backup:
        return "replaced" if local else "removed"
    if not local:
        return "removed"
    return "new" if (root / LOCAL / "readme.txt").exists() else "old"


async def put_old_in_place(root: Path) -> None:
    """Make the game one of an older version, with an installation of many files."""

    def write() -> None:
        (root / "version.ini").write_text(OLD_VERSION + "\n")
        local = root / LOCAL
        if (local / "readme.txt").exists() or not local.exists():
            shutil.rmtree(local, ignore_errors=True)
            for number in range(OLD_FILES):
                path = old_file(local, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(str(number))

    await asyncio.to_thread(write)


def is_half_removed(backup: Path) -> bool:
    """Whether some of the old files are gone and some are not."""
    try:
        left = len(list((backup / "old").iterdir()))
    except FileNotFoundError:
        return False
    return left < OLD_FILES / 1000


def old_file(local: Path, number: int) -> Path:
    return local / "old" / f"{number // 1000:02}" / f"{number}.dat"


async def digest(root: Path) -> dict[str, str]:
    """What `local/` holds."""
    return await asyncio.to_thread(tree_digest, root / LOCAL, without=())


async def expect_settled(peer: Peer, game: Game, *, installed: bool) -> None:
    """The peer knows what is there, and nothing of the transaction is left."""
    left = [path.name for path in peer.root(game).iterdir() if path.name.startswith(".local")]
    expect_equal(left, [], "no transient directory is left")
    intents = await asyncio.to_thread(lambda: list(peer.options.state_dir.rglob("*intent*")))
    expect_equal(intents, [], "no intent is left")
    view = (await peer.list_games("local"))[game.id]
    expect_equal((view.installed, view.operation), (installed, None), "what the peer says")
