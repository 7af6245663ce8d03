"""Download with auto-install of a real RAR; `install`, `uninstall`, `install` again."""

import zlib
from pathlib import Path

from lanspread_harness import (
    MIB,
    CopyOf,
    Game,
    Lab,
    Peer,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

ENTRIES = {"bin/game.exe": 3 * MIB + 5, "data/level 1/map.bsp": 70_000, "read me.txt": 12}

# Made by RAR itself: compressed and solid, two files of the same content.
SOLID = Path(__file__).parents[1] / "crates/lanspread-archive/tests/data/rar5-solid.rar"
SOLID_CRC32 = {"stest1.txt": 0xC5B7E6A2, "stest2.txt": 0xC5B7E6A2}


async def scenario(lab: Lab) -> None:
    archive = await lab.rar("stored", ENTRIES)
    stored = lab.game("stored", {"stored.eti": archive})
    solid = lab.game("solid", {"solid.eti": CopyOf(SOLID)})
    alpha = await lab.peer("alpha", games=[stored, solid])
    bravo = await lab.peer("bravo", auto_install=True)
    await bravo.connect(alpha)

    await bravo.download(stored, wait=True)
    await bravo.event("install-finished", game_id=stored.id)
    expect_stored_installed(bravo, stored, archive.source.read_bytes())
    await expect_state(bravo, stored, installed=True)
    with expect_error("already-installed"):
        await bravo.install(stored)

    await bravo.uninstall(stored)
    expect_equal(installed(bravo, stored), {}, "uninstall removes local/")
    await expect_same_game(stored, alpha, bravo)
    await expect_state(bravo, stored, installed=False)
    with expect_error("not-installed"):
        await bravo.uninstall(stored)

    await bravo.install(stored)
    expect_stored_installed(bravo, stored, archive.source.read_bytes())
    await expect_state(bravo, stored, installed=True)

    await bravo.download(solid, wait=True, install=False)
    expect_equal(installed(bravo, solid), {}, "install=false overrules auto-install")
    await bravo.install(solid)
    checksums = {name: zlib.crc32(data) for name, data in installed(bravo, solid).items()}
    expect_equal(checksums, SOLID_CRC32, "a compressed solid archive comes out right")


def expect_stored_installed(peer: Peer, game: Game, archive: bytes) -> None:
    """Entries that are stored stand in the archive as they are."""
    files = installed(peer, game)
    sizes = {name: len(data) for name, data in files.items()}
    expect_equal(sizes, ENTRIES, "local/ has every entry of the archive, and nothing else")
    wrong = [name for name, data in files.items() if data not in archive]
    expect(not wrong, "every file has the bytes of its entry", wrong)


async def expect_state(peer: Peer, game: Game, *, installed: bool) -> None:
    local = (await peer.list_games("local"))[game.id]
    expect_equal(
        (local.installed, local.availability),
        (installed, "ready"),
        "the peer tells what is installed, and stays a source either way",
    )


def installed(peer: Peer, game: Game) -> dict[str, bytes]:
    """What is in the game's `local/`, the owner marker apart."""
    local = peer.root(game) / "local"
    return {
        path.relative_to(local).as_posix(): path.read_bytes()
        for path in local.rglob("*")
        if path.is_file() and path.name != ".lanspread_owned"
    }
