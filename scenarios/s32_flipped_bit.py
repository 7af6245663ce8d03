"""A source with a flipped bit is dropped and the file is right; with none but such, nothing is.

The source is told, finds the wrong chunk on its disk, and hashes the file anew.
"""

import os
from dataclasses import replace
from pathlib import Path

from lanspread_harness import (
    MIB,
    SENTINEL,
    Game,
    Lab,
    Meta,
    Peer,
    Sparse,
    age,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(timeout_s=90, expected_s=4)

STRIDE = 4 * MIB
"""A bit in each of these: whichever chunk the bad source is asked for, it is soon a bad one."""


async def scenario(lab: Lab) -> None:
    lab.expects("it sent a wrong chunk", "its content is not what the catalog says")
    # A source that is told of a wrong chunk looks at its own disk.
    lab.expects("a file changed without a trace in its time")
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB), "readme.txt": Sparse(4000)})
    good = await source(lab, "good", game)
    bad, worse, worst = [await source(lab, name, game) for name in ("bad", "worse", "worst")]
    for damaged in (bad, worse, worst):
        flip_bits(damaged.root(game) / "quake.eti")
    root = await good.hashed(game)
    before = bad.mark()

    lab.note("one good source and a bad one")
    bravo = await lab.peer("bravo")
    await bravo.connect(good)
    await bravo.connect(bad)
    await bravo.download(game, wait=True)
    dropped = await bravo.event("source-dropped", game_id=game.id)
    expect_equal(dropped.data.text("peer_id"), bad.peer_id, "the bad source is dropped")
    expect_equal(len(bravo.events("source-dropped")), 1, "and no other, and once")
    await expect_same_game(game, good, bravo)
    await rehashed(bad, game, root, since=before)

    lab.note("none but bad sources")
    # By then both have hashed what they hold: what is right, only the catalog can say.
    charlie = await lab.peer("charlie", catalog=[replace(game, content_root=root)])
    await charlie.connect(worse)
    await charlie.connect(worst)
    with expect_error("bad-sources"):
        await charlie.download(game, wait=True)
    await charlie.event("download-failed", game_id=game.id)
    both = {event.data.text("peer_id") for event in charlie.events("source-dropped")}
    expect_equal(both, {worse.peer_id, worst.peer_id}, "both are dropped")
    expect(not (charlie.root(game) / SENTINEL).exists(), "nothing is committed")
    listed = (await charlie.list_games("local")).get(game.id)
    expect(listed is None or not listed.downloaded, "it does not count as downloaded", listed)

    lab.note("a good source makes it whole")
    await charlie.connect(good)
    await charlie.download(game, wait=True)
    await expect_same_game(game, good, charlie)


async def source(lab: Lab, name: str, game: Game) -> Peer:
    """A peer that has hashed the game long after it was written."""
    peer = await lab.peer(name, games=[game], start=False)
    age(peer.games_dir)
    await peer.start()
    await peer.hashed(game)
    return peer


async def rehashed(peer: Peer, game: Game, root: str, *, since: int) -> None:
    """Wait until the content of a peer's own game is another one than this."""
    while await peer.hashed(game) == root:
        await peer.event("local-games-updated", since=since)
        since = peer.mark()


def flip_bits(path: Path) -> None:
    """Flip bits without a trace in the size or the times, as a failing disk does."""
    found = path.stat()
    with path.open("r+b") as file:
        for start in range(STRIDE // 2, found.st_size, STRIDE):
            file.seek(start)
            [byte] = file.read(1)
            file.seek(start)
            file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
