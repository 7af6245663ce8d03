"""50 peers: full mesh, one new game seen by all within 5 s; memory and idle CPU are told."""

import asyncio
import time
from statistics import median

from lanspread_harness import Game, Lab, Meta, Need, Peer, expect, expect_equal
from lanspread_harness.arp_limits import raise_arp_limits
from lanspread_harness.process_usage import measure_idle_cpu, read_usage

META = Meta(
    needs=frozenset({Need.MDNS}),
    timeout_s=300,
    expected_s=16,
    memory_mib=3000,
    peers=50,
    alone=True,
)

PEERS = 50
AT_A_TIME = 10
"""That many start together: two cores that start 50 programs at once give none of them its time."""

SEEN_WITHIN_S = 5.0
MESH_WITHIN_S = 120.0

IDLE_S = 10.0
IDLE_CORES_MOST = 1.0
"""Of all 50 together: a peer that has nothing to do must not keep anything busy."""

RSS_MOST_MIB = 64
"""Of one peer that knows 49 others."""


async def scenario(lab: Lab) -> None:
    # Fifty that end at once leave some thread of a library no time to end by itself.
    lab.expects("mDNS thread is left behind")
    game = lab.game("quake")
    first = await lab.peer("peer00", mdns=True)
    with raise_arp_limits(PEERS, lab.host):
        peers = [first, *await started(lab)]
        await meet(lab, peers)
        await expect_news_travels(lab, game, peers)
        await measure(lab, peers)
        await peers[-1].download(game, wait=True)
        # The goodbyes need the room as well.
        await lab.settle()


async def meet(lab: Lab, peers: list[Peer]) -> None:
    """All of them know all others."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for peer in peers:
            tasks.create_task(peer.wait_peers(PEERS - 1, timeout_s=MESH_WITHIN_S))
    lab.figure(
        f"{PEERS} peers know each other {time.monotonic() - began:.1f} s after the last start"
    )
    ids = {peer.peer_id for peer in peers}
    for peer in peers:
        listed = {entry.peer_id for entry in await peer.list_peers()}
        expect_equal(listed, ids - {peer.peer_id}, f"{peer.name} lists all others, and each once")


async def expect_news_travels(lab: Lab, game: Game, peers: list[Peer]) -> None:
    """A game that appears on the disk of the first is listed by all others."""
    lab.note("a game appears on one disk")
    holder, others = peers[0], peers[1:]
    marks = {peer: peer.mark() for peer in others}
    await asyncio.to_thread(game.write, holder.games_dir)
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for peer in others:
            tasks.create_task(
                peer.event(
                    "games-list-updated",
                    where=lambda data: game.id in data.items("changed"),
                    since=marks[peer],
                )
            )
    seen_s = time.monotonic() - began
    lab.figure(f"a new game is seen by all after {seen_s:.2f} s")
    expect(seen_s <= SEEN_WITHIN_S, f"all see the game within {SEEN_WITHIN_S:g} s", seen_s)
    for peer in others:
        listed_game = (await peer.list_games("remote"))[game.id]
        expect_equal(listed_game.peer_count, 1, f"{peer.name} lists it with its one source")


async def started(lab: Lab) -> list[Peer]:
    """All but the first peer, started a few at a time."""
    peers: list[Peer] = []
    for first in range(1, PEERS, AT_A_TIME):
        async with asyncio.TaskGroup() as tasks:
            starting = [
                tasks.create_task(lab.peer(f"peer{number:02}", mdns=True))
                for number in range(first, min(first + AT_A_TIME, PEERS))
            ]
        peers += [task.result() for task in starting]
    return peers


async def measure(lab: Lab, peers: list[Peer]) -> None:
    """Tell what they take, and hold it to bounds that only a defect would break."""
    shares = await measure_idle_cpu(peers, IDLE_S)
    total = sum(shares.values())
    sizes = [usage.rss_kib / 1024 for usage in read_usage(peers).values()]
    lab.figure(f"idle CPU of all peers {100 * total:.1f} % of a core")
    lab.figure(
        f"memory (RSS) of a peer {median(sizes):.1f} MiB, of the largest {max(sizes):.1f} MiB, "
        f"of all {sum(sizes):.0f} MiB"
    )
    expect(total <= IDLE_CORES_MOST, "idle peers leave the cores alone", shares)
    expect(max(sizes) <= RSS_MOST_MIB, f"no peer takes more than {RSS_MOST_MIB} MiB", sizes)
