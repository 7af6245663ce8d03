"""A peer that missed deltas while partitioned ends with the same library.

One listener loses the announcer and greets it again; another is patient enough to keep its
connection over the partition.
"""

import shutil

from lanspread_harness import Game, Lab, Meta, Need, Peer, expect_equal

META = Meta(needs=frozenset({Need.MDNS, Need.LINKS}), timeout_s=75, expected_s=7)

FOUND_AGAIN_S = 20
"""A peer that was lost is dialled again after 8 s at the latest, and a dial may take 5."""


async def scenario(lab: Lab) -> None:
    quake, doom, heretic, hexen = (
        lab.game(game_id) for game_id in ("quake", "doom", "heretic", "hexen")
    )
    alpha = await lab.peer("alpha", games=[quake, doom], mdns=True)
    hasty = await lab.peer("hasty", mdns=True, ping_after_s=1, peer_timeout_s=4)
    patient = await lab.peer("patient", mdns=True)
    for listener in (hasty, patient):
        await knows(listener, [quake, doom])

    async with lab.isolate(alpha):
        lab.note("what is told now reaches nobody: one more, one less, and one that comes and goes")
        heretic.write(alpha.games_dir)
        shutil.rmtree(alpha.root(doom))
        await holds(alpha, [quake, heretic])
        hexen.write(alpha.games_dir)
        await holds(alpha, [quake, heretic, hexen])
        shutil.rmtree(alpha.root(hexen))
        await holds(alpha, [quake, heretic])

        await hasty.event("peer-lost", peer_id=alpha.peer_id)
        expect_equal(list(await hasty.list_games("remote")), [], "hasty has lost alpha")
        remote = sorted(await patient.list_games("remote"))
        expect_equal(remote, ["doom", "quake"], "patient has what it heard last")

    for listener in (hasty, patient):
        await knows(listener, [quake, heretic])
    expect_equal(patient.events("peer-lost"), [], "patient never lost anyone")
    known = {entry.peer_id: entry.game_count for entry in await hasty.list_peers()}
    expect_equal(known[alpha.peer_id], 2, "the library that hasty knows is whole")


async def holds(peer: Peer, games: list[Game]) -> None:
    """Wait until a peer shares just these of its own games."""
    wanted = sorted(game.id for game in games)
    while True:
        mark = peer.mark()
        local = await peer.list_games("local")
        if sorted(name for name, game in local.items() if game.downloaded) == wanted:
            return
        await peer.event("local-games-updated", since=mark)


async def knows(listener: Peer, games: list[Game]) -> None:
    """Wait until a peer knows just these games of others."""
    wanted = sorted(game.id for game in games)
    while True:
        mark = listener.mark()
        remote = sorted(await listener.list_games("remote"))
        if remote == wanted:
            return
        await listener.event("games-list-updated", since=mark, timeout_s=FOUND_AGAIN_S)
