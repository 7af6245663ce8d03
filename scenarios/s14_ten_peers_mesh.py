"""Ten peers: full mesh, every peer lists every game."""

import asyncio

from lanspread_harness import Lab, Meta, Need, Peer, expect_equal

META = Meta(needs=frozenset({Need.MDNS}), timeout_s=90)

PEERS = 10


async def scenario(lab: Lab) -> None:
    games = [lab.game(f"game {number}") for number in range(PEERS)]
    async with asyncio.TaskGroup() as tasks:
        starting = [
            tasks.create_task(lab.peer(f"peer{number}", games=[game], mdns=True))
            for number, game in enumerate(games)
        ]
    peers = [task.result() for task in starting]

    async with asyncio.TaskGroup() as tasks:
        for peer in peers:
            tasks.create_task(expect_sees_all(peer, peers))


async def expect_sees_all(peer: Peer, peers: list[Peer]) -> None:
    await peer.wait_peers(PEERS - 1, timeout_s=30)
    others = {other.peer_id for other in peers if other is not peer}
    listed = {entry.peer_id for entry in await peer.list_peers()}
    expect_equal(listed, others, f"{peer.name} lists the nine others")
    games = await peer.list_games()
    expect_equal(len(games), PEERS, f"{peer.name} lists every game")
    own = sum(1 for game in games.values() if game.downloaded)
    remote = sum(game.peer_count for game in games.values())
    expect_equal((own, remote), (1, PEERS - 1), "one is its own, each other has one source")
