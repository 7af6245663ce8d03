"""A link that flaps during a download: the download completes."""

import asyncio

from lanspread_harness import (
    MIB,
    Lab,
    Link,
    Meta,
    Need,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
)

META = Meta(needs=frozenset({Need.LINKS}), timeout_s=90, expected_s=11)

RATE_MBIT = 40
"""Without a break the game takes this link five seconds."""

DOWN_S = 0.5
"""Seen from the sender, long enough to send again several times, in vain."""

UP_S = 1.0
FLAPS_AT_LEAST = 3


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(24 * MIB)})
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    flaps = 0
    async with lab.shape(bravo, inbound=Link(rate_mbit=RATE_MBIT)), asyncio.TaskGroup() as tasks:
        download = tasks.create_task(bravo.download(game, wait=True))
        await bravo.downloaded(game, 0.05)
        while not download.done():
            async with lab.isolate(bravo):
                await lab.hold(DOWN_S)
            flaps += 1
            await asyncio.wait([download], timeout=UP_S)

    expect(flaps >= FLAPS_AT_LEAST, "the link went down several times", flaps)
    expect_equal(bravo.events("download-failed"), [], "the download does not fail")
    expect_equal(bravo.events("peer-lost"), [], "the source was never lost")
    await expect_same_game(game, alpha, bravo)
