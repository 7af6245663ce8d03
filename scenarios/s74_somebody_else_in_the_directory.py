"""Others change a game while it is downloaded: no success is told, and nothing of theirs goes."""

import asyncio
from pathlib import Path

from lanspread_harness import (
    MIB,
    Fields,
    Game,
    Lab,
    Meta,
    Noise,
    Peer,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(expected_s=12, cores=0.5)

UPLOAD_LIMIT = "8MiB"
"""Of the source: a download takes some two seconds."""

PARTS = 8
BEGUN = 0.2
NEARLY_DONE = 0.6


async def scenario(lab: Lab) -> None:
    lab.expects("chunks of a failed download may have to be fetched again")
    game = lab.game("quake", {f"data/part{n}": Noise(2 * MIB) for n in range(PARTS)})
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    root, moved = bravo.root(game), lab.scratch / "moved"

    lab.note("a file that has come is edited, and its size stays")
    downloading = await begin(bravo, game, NEARLY_DONE)
    edited = next(path for path in sorted((root / "data").iterdir()) if is_whole(path))
    with edited.open("r+b") as file:
        file.seek(10)
        file.write(b"edited by hand")
    with expect_error("io-error"):
        await downloading
    await expect_not_downloaded(bravo, game)
    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    await bravo.remove_download(game)

    lab.note("the directory is moved away: a download that goes on there is no success")
    downloading = await begin(bravo, game, BEGUN)
    root.rename(moved)
    with expect_error("io-error"):
        await downloading
    await expect_not_downloaded(bravo, game)

    lab.note("another directory is in its place: cancelling removes nothing there")
    downloading = await begin(bravo, game, BEGUN)
    root.rename(moved.with_name("moved again"))
    root.mkdir()
    mine = root / "mine.txt"
    mine.write_bytes(b"mine")
    with expect_error("io-error"):
        await bravo.command("cancel-download", game_id=game.id)
    with expect_error("io-error"):
        await downloading
    expect_equal(mine.read_bytes(), b"mine", "what is there stays")
    with expect_error("not-downloaded"):
        await bravo.command("remove-download", game_id=game.id)
    expect(mine.is_file(), "and counts as nothing that a download brought")


async def begin(peer: Peer, game: Game, share: float) -> asyncio.Task[Fields]:
    """Begin a download and wait until that share of it is there."""
    before = peer.mark()
    downloading = asyncio.create_task(peer.download(game, wait=True))
    await peer.downloaded(game, share, since=before)
    return downloading


def is_whole(path: Path) -> bool:
    """Whether no block of a file is missing."""
    found = path.stat()
    return found.st_blocks * 512 >= found.st_size


async def expect_not_downloaded(peer: Peer, game: Game) -> None:
    """The game does not count as there."""
    listed = await peer.list_games("local")
    expect(game.id not in listed or not listed[game.id].downloaded, "it does not count as there")
