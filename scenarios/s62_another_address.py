"""A source, then a receiver, gets another address mid-download: the download goes on within 8 s."""

import asyncio
from itertools import pairwise

from lanspread_harness import (
    MIB,
    Lab,
    Meta,
    Need,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
)

META = Meta(
    timeout_s=180,
    expected_s=85,
    cores=0.3,
    needs=frozenset({Need.MDNS, Need.LINKS}),
)

UPLOAD_LIMIT = "8MiB"
"""Of the source: each download has seconds left when the address changes, on any machine."""

SIZE = 96 * MIB
CHANGE_AT = 0.1

GAP_MAX_S = 8
"""mDNS tells of another address within some two seconds; who does not hear of it asks after two and
waits for two. The rest is for a busy machine."""

FROZEN_S = 45
"""Longer than the 30 s of silence after which a peer is lost."""


async def scenario(lab: Lab) -> None:
    names = ("quake", "doom", "hexen")
    games = {name: lab.game(name, {f"{name}.eti": Sparse(SIZE)}) for name in names}
    alpha = await lab.peer("alpha", games=games.values(), mdns=True, upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo", mdns=True)
    await bravo.event("peer-discovered", peer_id=alpha.peer_id)

    for victim, other, game in (
        (alpha, bravo, games["quake"]),
        (bravo, alpha, games["doom"]),
    ):
        since, changed = bravo.mark(), other.mark()
        async with asyncio.TaskGroup() as tasks:
            download = tasks.create_task(bravo.download(game, wait=True))
            await bravo.downloaded(game, CHANGE_AT)
            async with lab.readdress(victim) as address:
                await download
                gap_s = longest_gap_s(bravo, since)
                lab.note(f"{victim.name} moved: the longest time without a byte was {gap_s:.1f} s")
                expect(gap_s <= GAP_MAX_S, f"{victim.name} moves: it goes on", f"{gap_s:.1f} s")
                listed = {entry.peer_id: entry.addr for entry in await other.list_peers()}
                host, _, _ = listed[victim.peer_id].rpartition(":")
                expect_equal(host, address, f"{victim.name} is known at its new address")
        await expect_same_game(game, alpha, bravo)
        # Back at the old address it must be found again before the next change.
        await other.event(
            "peer-updated",
            since=changed,
            timeout_s=40,
            peer_id=victim.peer_id,
            addr=victim.addr,
        )

    # A receiver that stood still for longer than a peer may be silent asks before it gives up.
    game = games["hexen"]
    await bravo.download(game)
    await bravo.downloaded(game, CHANGE_AT)
    async with lab.stopped(bravo):
        await lab.hold(FROZEN_S)
    await bravo.event("download-finished", game_id=game.id, timeout_s=40)
    await expect_same_game(game, alpha, bravo)
    for peer in (alpha, bravo):
        expect_equal(peer.events("download-all-peers-gone"), [], "nobody counts as gone")
    expect_equal(bravo.events("peer-lost"), [], "who wakes up loses nobody")


def longest_gap_s(peer: Peer, since: int) -> float:
    """The longest time in which a download got no byte."""
    moments, done = [], -1
    for event in peer.events("download-progress", since=since):
        if event.data.integer("bytes_done") > done:
            done = event.data.integer("bytes_done")
            moments.append(event.t_us)
    return max((later - earlier for earlier, later in pairwise(moments)), default=0) / 1e6
