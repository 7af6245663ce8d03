"""A link that takes the place of a directory is never followed, and missing rights are no obstacle.

Neither a download nor what discards, installs or removes it changes anything outside the root.
"""

import asyncio
from pathlib import Path

from lanspread_harness import (
    MIB,
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
    expect_error,
    expect_same_game,
    tree_digest,
)

META = Meta(needs=frozenset({Need.PERMISSIONS}), expected_s=12, cores=0.5)

UPLOAD_LIMIT = "12MiB"
"""Of the source: a download takes some four seconds, on a fast machine as well."""

FILES = 20
SWAP_AT = 0.2


async def scenario(lab: Lab) -> None:
    lab.expects("chunks of a failed download may have to be fetched again")
    archive = await lab.rar("quake", {"bin/game.exe": 1000, "cd/track.wav": 1000})
    parts: dict[str, Noise | Sparse] = {f"data/part{n:02}": Sparse(2 * MIB) for n in range(FILES)}
    small: dict[str, Noise | Sparse] = {f"data/small{n:02}": Noise(500) for n in range(FILES)}
    game = lab.game("quake", {"quake.eti": Bytes(archive.source.read_bytes()), **parts, **small})
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    outside = lab.scratch / "outside"
    outside.mkdir()
    for name in game.files:
        (outside / Path(name).name).write_bytes(b"precious")
    (outside / "unlisted").write_bytes(b"precious")
    before = tree_digest(outside)

    downloading = asyncio.create_task(bravo.download(game, wait=True))
    await swap(bravo, game, outside, bravo.mark())
    with expect_error("io-error"):
        await downloading
    expect_equal(tree_digest(outside), before, "a download leaves what is outside alone")
    listed = await bravo.list_games("local")
    expect(game.id not in listed or not listed[game.id].downloaded, "it does not count as there")

    mark = bravo.mark()
    (bravo.root(game) / "moved").rename(lab.scratch / "away")
    await bravo.download(game)
    await bravo.downloaded(game, SWAP_AT, since=mark)
    (bravo.root(game) / "data").rename(bravo.root(game) / "moved")
    (bravo.root(game) / "data").symlink_to(outside)
    await bravo.cancel_download(game)
    await bravo.event("download-cancelled", game_id=game.id, since=mark)
    expect_equal(tree_digest(outside), before, "a cancelled download removes the link alone")

    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    await expect_no_obstacle(bravo, game, outside)
    expect_equal(tree_digest(outside), before, "nothing outside has changed in the end")


async def swap(peer: Peer, game: Game, outside: Path, mark: int) -> None:
    """Put a link in the place of a directory that a download writes to."""
    await peer.downloaded(game, SWAP_AT, since=mark)
    data = peer.root(game) / "data"
    data.rename(peer.root(game) / "moved")
    data.symlink_to(outside)


async def expect_no_obstacle(peer: Peer, game: Game, outside: Path) -> None:
    """Directories as a copy of a disc leaves them, and links, are removed with the rest."""
    local = peer.root(game) / "local"
    for _ in range(2):
        await peer.install(game)
        (local / "cd" / "link").symlink_to(outside)
        (local / "cd").chmod(0o555)
        local.chmod(0o555)
        await peer.uninstall(game)
        expect(not local.exists(), "it is uninstalled")
    names = sorted(path.name for path in peer.root(game).iterdir())
    expect_equal(names, ["data", "quake.eti", "version.ini"], "nothing transient is left")
    (peer.root(game) / "data").chmod(0o555)
    peer.root(game).chmod(0o555)
    await peer.remove_download(game)
    expect(not peer.root(game).exists(), "and removed")
