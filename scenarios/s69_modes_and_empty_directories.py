"""Executable bits, empty directories and `version.ini` arrive as they were, also by way of exFAT.

Over a download, one that is resumed, an update, a relay by a peer whose disk keeps no bits, and
sources that do not tell the same. Nothing else of a mode travels.
"""

import stat
from dataclasses import replace
from pathlib import Path

from lanspread_harness import (
    MIB,
    SENTINEL,
    Bytes,
    Game,
    Lab,
    Meta,
    Need,
    Noise,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
)

META = Meta(timeout_s=120, peers=8, needs=frozenset({Need.EXFAT}), expected_s=20)

EXFAT_MIB = 64
UPLOAD_LIMIT = "8MiB"
"""Of the source: a download takes two seconds, on a fast machine as well."""

EXECUTABLE = {"bin/tool", "bin/deep/run.sh", "setup"}
DIRECTORIES = {"saves/slot1", "saves/slot2", "mods/empty/deeper", "logs"}
SENTINEL_BYTES = b"20240131\r\nof the second edition\r\n"


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake",
        {
            "quake.eti": Sparse(16 * MIB),
            "bin/tool": Bytes(b"#!/bin/sh\necho tool ran\n"),
            "bin/tools.dat": Noise(3000),
            "bin/deep/run.sh": Bytes(b"#!/bin/sh\n"),
            "setup": Noise(MIB),
            "readme.txt": Bytes(b"hello"),
        },
    )
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT, start=False)
    make_odd(alpha.root(game))
    # The file system keeps these; nobody else may get them.
    (alpha.root(game) / "bin/tool").chmod(0o6755)
    await alpha.start()

    lab.note("a download, by way of a kill")
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    await bravo.download(game)
    await bravo.downloaded(game, 0.3)
    await bravo.kill()
    await bravo.exited()
    await bravo.start()
    await bravo.connect(alpha)
    await bravo.download(game, wait=True)
    await expect_odd(game, alpha, bravo)

    lab.note("a disk that keeps no bits passes them on, also after a restart")
    charlie = await lab.peer("charlie", exfat_mib=EXFAT_MIB)
    await charlie.connect(alpha)
    await charlie.download(game, wait=True)
    expect_equal(empty_directories(charlie.root(game)), DIRECTORIES, "exFAT has the directories")
    await charlie.shutdown()
    await charlie.exited()
    await charlie.start()
    delta = await lab.peer("delta")
    await delta.connect(charlie)
    await delta.download(game, wait=True)
    await expect_odd(game, alpha, delta)

    lab.note("one source of several that tells of a bit or a directory is enough")
    echo = await lab.peer("echo", games=[game], start=False)
    (echo.root(game) / "only/here").mkdir(parents=True)
    await echo.start()
    foxtrot = await lab.peer("foxtrot")
    for source in (echo, charlie):
        await foxtrot.connect(source)
    await foxtrot.download(game, wait=True)
    expect_equal(executable(foxtrot.root(game)), EXECUTABLE, "no bit is lost")
    found = empty_directories(foxtrot.root(game))
    expect_equal(found, DIRECTORIES | {"only/here"}, "all directories are there")

    lab.note("an update takes a bit away, gives another one and makes a directory")
    new = replace(game, version="20250101", seed=game.seed + 1)
    golf = await lab.peer("golf", games=[new], catalog=[new], start=False)
    (golf.root(game) / "readme.txt").chmod(0o755)
    (golf.root(game) / "saves/slot3").mkdir(parents=True)
    await golf.start()
    hotel = await lab.peer("hotel", games=[game], catalog=[new], start=False)
    make_odd(hotel.root(game))
    await hotel.start()
    await hotel.connect(golf)
    await hotel.update(new, wait=True)
    await expect_same_game(new, golf, hotel)
    expect_equal(
        executable(hotel.root(game)), {"readme.txt"}, "the bits are those of the new version"
    )
    expect((hotel.root(game) / "saves/slot3").is_dir(), "the new directory is there")


def make_odd(root: Path) -> None:
    """Give a root modes, empty directories and a sentinel of its own."""
    for name in EXECUTABLE:
        (root / name).chmod(0o755)
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True)
    (root / SENTINEL).write_bytes(SENTINEL_BYTES)


def executable(root: Path) -> set[str]:
    """The files that somebody may execute."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix() for path in files if path.stat().st_mode & 0o111}


def empty_directories(root: Path) -> set[str]:
    """The directories with nothing in them."""
    directories = [path for path in root.rglob("*") if path.is_dir()]
    empty = [path for path in directories if not any(path.iterdir())]
    return {path.relative_to(root).as_posix() for path in empty}


async def expect_odd(game: Game, holder: Peer, copier: Peer) -> None:
    """A copy has the bytes, the bits, the directories and the sentinel, and no other bit."""
    await expect_same_game(game, holder, copier)
    root = copier.root(game)
    expect_equal(executable(root), EXECUTABLE, f"{copier.name} has the executable bits")
    expect_equal(empty_directories(root), DIRECTORIES, f"{copier.name} has the empty directories")
    special = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
    modes = {path.name: path.stat().st_mode & special for path in root.rglob("*")}
    expect_equal({name for name, mode in modes.items() if mode}, set(), "no other bit travels")
