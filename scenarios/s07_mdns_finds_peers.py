"""Two peers find each other by mDNS and list each other's games with no further command."""

from lanspread_harness import Lab, Meta, Need, expect_equal

META = Meta(needs=frozenset({Need.MDNS}))


async def scenario(lab: Lab) -> None:
    quake, doom = lab.game("quake"), lab.game("doom")
    alpha = await lab.peer("alpha", games=[quake], mdns=True)
    bravo = await lab.peer("bravo", games=[doom], mdns=True)

    for peer, other, theirs in ((alpha, bravo, doom), (bravo, alpha, quake)):
        found = await peer.event("peer-discovered", peer_id=other.peer_id)
        expect_equal(found.data.text("name"), other.name, "the peer's name is told")
        games = await peer.list_games("remote")
        expect_equal(list(games), [theirs.id], f"{peer.name} lists the games of {other.name}")
        expect_equal(games[theirs.id].peer_count, 1, "it has one source")
