"""A source with a flipped bit is dropped and the file is right; with none but such, nothing is."""

import os
from pathlib import Path

from lanspread_harness import (
    MIB,
    SENTINEL,
    Lab,
    Meta,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(timeout_s=90, expected_s=4)

STRIDE = 4 * MIB
"""A bit in each of these: whichever chunk the bad source is asked for, it is soon a bad one."""


async def scenario(lab: Lab) -> None:
    lab.expects("it sent a wrong chunk")
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB), "readme.txt": Sparse(4000)})
    good, bad, worse = await lab.sources("good", "bad", "worse", game=game)
    for source in (good, bad, worse):
        await source.hashed(game)
    flip_bits(bad.root(game) / "quake.eti")
    flip_bits(worse.root(game) / "quake.eti")

    lab.note("one good source and a bad one")
    bravo = await lab.peer("bravo")
    await bravo.connect(good)
    await bravo.connect(bad)
    await bravo.download(game, wait=True)
    dropped = await bravo.event("source-dropped", game_id=game.id)
    expect_equal(dropped.data.text("peer_id"), bad.peer_id, "the bad source is dropped")
    expect_equal(len(bravo.events("source-dropped")), 1, "and no other, and once")
    await expect_same_game(game, good, bravo)

    lab.note("none but bad sources")
    charlie = await lab.peer("charlie")
    await charlie.connect(bad)
    await charlie.connect(worse)
    with expect_error("bad-sources"):
        await charlie.download(game, wait=True)
    await charlie.event("download-failed", game_id=game.id)
    both = {event.data.text("peer_id") for event in charlie.events("source-dropped")}
    expect_equal(both, {bad.peer_id, worse.peer_id}, "both are dropped")
    expect(not (charlie.root(game) / SENTINEL).exists(), "nothing is committed")
    listed = (await charlie.list_games("local")).get(game.id)
    expect(listed is None or not listed.downloaded, "it does not count as downloaded", listed)

    lab.note("a good source makes it whole")
    await charlie.connect(good)
    await charlie.download(game, wait=True)
    await expect_same_game(game, good, charlie)


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
