"""Stream-install of real RARs, one solid: `local/` right, no archive, no sentinel, not a source."""

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
)

ENTRIES = {"bin/game.exe": 24 * MIB + 5, "data/level 1/map.bsp": 70_000, "read me.txt": 12}

# Made by RAR itself: compressed and solid, two files of the same content.
SOLID = Path(__file__).parents[1] / "crates/lanspread-archive/tests/data/rar5-solid.rar"
SOLID_CRC32 = {"stest1.txt": 0xC5B7E6A2, "stest2.txt": 0xC5B7E6A2}


async def scenario(lab: Lab) -> None:
    archive = await lab.rar("stored", ENTRIES)
    stored = lab.game("stored", {"stored.eti": archive})
    solid = lab.game("solid", {"solid.eti": CopyOf(SOLID)})
    alpha = await lab.peer("alpha", games=[stored, solid])
    bravo = await lab.peer("bravo")
    charlie = await lab.peer("charlie")
    await bravo.connect(alpha)
    await charlie.connect(bravo)

    answer = await bravo.stream_install(solid, wait=True)
    expect_equal(answer.text("peer_id"), alpha.peer_id, "the answer names the source")
    checksums = {name: zlib.crc32(data) for name, data in local_files(bravo, solid).items()}
    expect_equal(checksums, SOLID_CRC32, "a compressed solid archive comes out right")
    await expect_local_only(bravo, solid)

    await bravo.stream_install(stored, wait=True)
    files = local_files(bravo, stored)
    sizes = {name: len(data) for name, data in files.items()}
    expect_equal(sizes, ENTRIES, "local/ has every entry of the archive, and nothing else")
    whole = archive.source.read_bytes()
    wrong = [name for name, data in files.items() if data not in whole]
    expect(not wrong, "every file has the bytes of its entry", wrong)
    await expect_local_only(bravo, stored)
    expect_told(bravo, stored)

    remote = await charlie.list_games("remote")
    expect_equal(list(remote), [], "who has streamed a game announces nothing of it")
    for game in (stored, solid):
        with expect_error("no-source"):
            await charlie.download(game)
        with expect_error("no-source"):
            await charlie.stream_install(game)
        with expect_error("already-installed"):
            await bravo.install(game)
        with expect_error("still-installed"):
            await bravo.command("remove-download", game_id=game.id)

    await bravo.download(solid, wait=True)
    expect("solid.eti" in {path.name for path in bravo.root(solid).iterdir()}, "it is fetched now")
    with expect_error("already-downloaded"):
        await bravo.stream_install(solid)
    await bravo.uninstall(solid)
    await bravo.install(solid)


async def expect_local_only(peer: Peer, game: Game) -> None:
    """The game is installed, and that is all there is of it."""
    view = (await peer.list_games("local"))[game.id]
    expect_equal(
        (view.availability, view.installed, view.operation),
        ("local_only", True, None),
        f"{game.id} is installed, local and idle",
    )
    names = sorted(path.name for path in peer.root(game).iterdir())
    expect_equal(names, ["local"], f"{game.id}: no archive, no sentinel, nothing transient")


def expect_told(peer: Peer, game: Game) -> None:
    """One begin, progress to 100 %, one finish, at most ten reports a second."""
    size = sum(ENTRIES.values())
    begin = peer.events("stream-install-begin", game_id=game.id)
    expect_equal([event.data.integer("bytes") for event in begin], [size], "it begins once")
    progress = peer.events("stream-install-progress", game_id=game.id)
    done = [event.data.integer("bytes_done") for event in progress]
    expect(done == sorted(done) and done[-1] == size, "progress rises to all bytes", done)
    # Over the whole time, as a busy machine delays one report and not the next. The first and the
    # last one do not wait for their turns.
    seconds = (progress[-1].t_us - progress[0].t_us) / 1e6
    expect(len(progress) <= 10 * seconds + 2, "at most ten reports a second", seconds)
    finished = peer.events("stream-install-finished", game_id=game.id)
    expect_equal([event.data.integer("files") for event in finished], [3], "it finishes once")


def local_files(peer: Peer, game: Game) -> dict[str, bytes]:
    """What is in the game's `local/`."""
    local = peer.root(game) / "local"
    return {
        path.relative_to(local).as_posix(): path.read_bytes()
        for path in local.rglob("*")
        if path.is_file()
    }
