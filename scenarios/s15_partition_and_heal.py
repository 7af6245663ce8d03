"""Partition and heal: both sides lose the other, and find it again without a command."""

import asyncio

from lanspread_harness import Lab, Meta, Need, expect_equal

META = Meta(needs=frozenset({Need.MDNS, Need.LINKS}), timeout_s=75, expected_s=7)

PING_AFTER_S = 1
PEER_TIMEOUT_S = 4

FOUND_AGAIN_S = 20
"""A peer that was lost is dialled again after 8 s at the latest, and a dial may take 5."""


async def scenario(lab: Lab) -> None:
    quake, doom = lab.game("quake"), lab.game("doom")
    holdings = {"alpha": [quake], "bravo": [doom], "charlie": []}
    async with asyncio.TaskGroup() as tasks:
        starting = [
            tasks.create_task(
                lab.peer(
                    name,
                    games=games,
                    mdns=True,
                    ping_after_s=PING_AFTER_S,
                    peer_timeout_s=PEER_TIMEOUT_S,
                )
            )
            for name, games in holdings.items()
        ]
    alpha, bravo, charlie = (task.result() for task in starting)
    for peer in lab.peers:
        await peer.wait_peers(2)

    sides = ((alpha, bravo, doom), (bravo, alpha, quake))
    async with lab.partition(alpha, bravo):
        for peer, other, theirs in sides:
            lost = await peer.event("peer-lost", peer_id=other.peer_id)
            expect_equal(lost.data.text("reason"), "timeout", "silence is noticed")
            listed = [entry.name for entry in await peer.list_peers()]
            expect_equal(listed, [charlie.name], f"{peer.name} still has whom it hears")
            remote = await peer.list_games("remote")
            expect_equal(theirs.id in remote, False, "games of the lost go with it")
        healed = [peer.mark() for peer, _, _ in sides]

    for (peer, other, theirs), since in zip(sides, healed, strict=True):
        await peer.event(
            "peer-discovered", peer_id=other.peer_id, since=since, timeout_s=FOUND_AGAIN_S
        )
        remote = await peer.list_games("remote")
        expect_equal(remote[theirs.id].peer_count, 1, f"{peer.name} lists its games again")
    lost_by_charlie = charlie.events("peer-lost")
    expect_equal(lost_by_charlie, [], "who heard both all the time lost nobody")
