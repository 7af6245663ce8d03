"""A peer never lists itself; a crossing dial leaves one peer entry on both sides."""

import asyncio

from lanspread_harness import Lab, Meta, Need, expect_equal, expect_error

META = Meta(needs=frozenset({Need.MDNS}))

ROUNDS = 5
"""Dials cross by chance, so they are given several."""


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha", mdns=True)
    with expect_error("connect-self"):
        await alpha.connect(alpha)
    expect_equal(await alpha.list_peers(), [], "a peer that dialled itself lists nobody")

    bravo = await lab.peer("bravo", mdns=True)
    for _ in range(ROUNDS):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(alpha.connect(bravo))
            tasks.create_task(bravo.connect(alpha))
    await alpha.wait_peers(1)
    await bravo.wait_peers(1)

    for peer, other in ((alpha, bravo), (bravo, alpha)):
        listed = [entry.peer_id for entry in await peer.list_peers()]
        expect_equal(listed, [other.peer_id], f"{peer.name} lists {other.name} alone, and once")
        found = peer.events("peer-discovered")
        expect_equal(len(found), 1, f"{peer.name} discovered one peer, and once")
