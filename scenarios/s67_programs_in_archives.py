"""Executable bits and empty directories of archives arrive; scripts run as they were meant."""

import asyncio
import os
from pathlib import Path

from lanspread_harness import (
    Bytes,
    Game,
    Lab,
    Meta,
    Need,
    Peer,
    Rar5Entry,
    expect,
    expect_equal,
    rar5,
)

META = Meta(needs=frozenset({Need.PROGRAMS}))

PROGRAM, PLAIN = 0o100755, 0o100644
SETUID = 0o106755

SCRIPT = b"#!/bin/bash\nwords=(one two)\n./bin/tool ${#words[@]}\n"
TOOL = b"#!/bin/sh\necho tool ran with $1\n"

RUNS_AT_MOST_S = 5


async def scenario(lab: Lab) -> None:
    entries = [
        Rar5Entry("saves/slot 1", None),
        Rar5Entry("bin/tool", TOOL, PROGRAM),
        Rar5Entry("bin/setuid", b"none of this", SETUID),
        # Made on Windows, or by somebody who did not care.
        Rar5Entry("game_setup.sh", SCRIPT, PLAIN),
    ]
    quake = lab.game("quake", {"quake.eti": Bytes(rar5(entries))})
    sizes = {"game/run": 70_000, "game/data": 12}
    made = await lab.rar("doom", sizes, executable=["game/run"], directories=["maps/mine"])
    doom = lab.game("doom", {"doom.eti": made})
    alpha = await lab.peer("alpha", games=[quake, doom])
    bravo = await lab.peer("bravo", auto_install=True)
    charlie = await lab.peer("charlie")
    await bravo.connect(alpha)
    await charlie.connect(alpha)

    for game in (quake, doom):
        await bravo.download(game, wait=True)
        await bravo.event("install-finished", game_id=game.id)
        await charlie.stream_install(game, wait=True)
    for peer in (bravo, charlie):
        expect_equal(executables(peer, quake), {"bin/setuid", "bin/tool"}, "the programs of quake")
        expect_equal(executables(peer, doom), {"game/run"}, "the programs of doom")
        for game, empty in ((quake, "saves/slot 1"), (doom, "maps/mine")):
            expect((local(peer, game) / empty).is_dir(), f"{game.id} has its empty directory")
        await expect_setup_runs(peer, quake)


def local(peer: Peer, game: Game) -> Path:
    return peer.root(game) / "local"


def executables(peer: Peer, game: Game) -> set[str]:
    """What may be run, and nothing of it as somebody else."""
    found = set()
    for path in local(peer, game).rglob("*"):
        mode = path.stat().st_mode
        if path.is_file():
            expect(mode & 0o7000 == 0, f"{path.name} has permissions alone", oct(mode))
            if mode & 0o111:
                found.add(path.relative_to(local(peer, game)).as_posix())
    return found


async def expect_setup_runs(peer: Peer, game: Game) -> None:
    """The script is run by the interpreter that it names, and the tool by itself."""
    started = await peer.run_setup(game)
    async with asyncio.timeout(RUNS_AT_MOST_S):
        await ended(started.integer("pid"))
    printed = Path(started.text("log")).read_text()
    expect_equal(printed, "tool ran with 2\n", f"{peer.name}: what the setup script prints")


async def ended(pid: int) -> None:
    """Wait for the end of a process that is not a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
