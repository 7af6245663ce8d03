"""One slow source among fast ones does not set the pace."""

import asyncio

from lanspread_harness import MIB, Lab, Link, Meta, Need, Sparse, expect, expect_same_game

META = Meta(needs=frozenset({Need.LINKS}), timeout_s=90, expected_s=6, cores=2)

GAME_MIB = 48
FAST_MBIT = 80
SLOW_MBIT = 4
"""A chunk of 2 MiB takes this source four seconds, and a third of the game 33."""

SLOWER_AT_MOST = 3
"""How many times as long as the fast ones alone could need: they start slowly, and wait for a late
chunk of the slow one for up to three seconds before one of them fetches it."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(GAME_MIB * MIB)})
    fast_and_slow = await lab.sources("alpha", "bravo", "slow", game=game)
    slow = fast_and_slow[-1]
    delta = await lab.peer("delta")
    async with asyncio.TaskGroup() as tasks:
        for source in fast_and_slow:
            mbit = SLOW_MBIT if source is slow else FAST_MBIT
            fault = lab.shape(source, outbound=Link(rate_mbit=mbit))
            tasks.create_task(lab.until_end(fault))
    for source in fast_and_slow:
        await delta.connect(source)

    await delta.download(game, wait=True)
    begun = await delta.event("download-begin", game_id=game.id)
    finished = await delta.event("download-finished", game_id=game.id)
    took_s = (finished.t_us - begun.t_us) / 1e6
    ideal_s = GAME_MIB * MIB * 8 / (2 * FAST_MBIT * 1e6)
    served = {s.text("peer_id"): s.integer("bytes") for s in finished.data.children("sources")}
    lab.note(f"took {took_s:.1f} s, the fast ones alone {ideal_s:.1f} s at best; {served}")
    expect(
        took_s < SLOWER_AT_MOST * ideal_s,
        "it takes about as long as with the fast sources alone",
        f"{took_s:.1f} s, at best {ideal_s:.1f} s",
        served,
    )
    expect(served.get(slow.peer_id, 0) < GAME_MIB * MIB / 8, "the slow one gave a little", served)
    await expect_same_game(game, fast_and_slow[0], delta)
