"""A source stopped for ten seconds mid-download: no stall beyond its share."""

import asyncio
from itertools import pairwise

from lanspread_harness import MIB, Lab, Meta, Peer, Sparse, expect, expect_equal, expect_same_game

META = Meta(timeout_s=90, expected_s=13, cores=0.4)

UPLOAD_LIMIT = "8MiB"
"""Of each source: the others need five seconds for what is left, on a fast machine as well."""

STOP_AT = 0.1
STOPPED_S = 10

STALL_MAX_S = 4
"""A chunk that is late is asked of another source after three seconds at the latest; until then
the others may have nothing left to do."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    sources = await lab.sources("alpha", "bravo", "charlie", game=game, upload_limit=UPLOAD_LIMIT)
    delta = await lab.peer("delta")
    for source in sources:
        await delta.connect(source)

    victim = sources[1]
    async with asyncio.TaskGroup() as tasks:
        download = tasks.create_task(delta.download(game, wait=True))
        await delta.downloaded(game, STOP_AT)
        expect(not download.done(), "the source is stopped while the download runs")
        async with lab.stopped(victim):
            await lab.hold(STOPPED_S)

    stall_s = longest_stall_s(delta)
    lab.note(f"the longest time without a byte was {stall_s:.1f} s")
    expect(stall_s <= STALL_MAX_S, "the download goes on without it", f"{stall_s:.1f} s")
    expect_equal(delta.events("download-failed"), [], "the download does not fail")
    await expect_same_game(game, sources[0], delta)
    expect_equal(delta.events("peer-lost"), [], "ten seconds of silence are no reason to lose it")
    await delta.connect(victim)
    await victim.event("outbound-transfer-count-changed", game_id=game.id, count=0)
    expect_equal((await victim.status()).outbound_transfers, 0, "it serves nobody any more")


def longest_stall_s(peer: Peer) -> float:
    """The longest time in which a download got no byte."""
    moments, done = [], -1
    for event in peer.events("download-progress"):
        if event.data.integer("bytes_done") > done:
            done = event.data.integer("bytes_done")
            moments.append(event.t_us)
    return max((later - earlier for earlier, later in pairwise(moments)), default=0) / 1e6
