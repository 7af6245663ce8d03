"""Another `network`, or a wrong network key: never listed, and `peer-rejected` on both sides."""

from lanspread_harness import Lab, Meta, Need, Peer, expect, expect_equal, expect_error

META = Meta(needs=frozenset({Need.MDNS}), peers=6)

KEY = "the secret of this party"


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected")
    game = lab.game("quake")
    elsewhere = f"{lab.network}-2"
    stranger = await lab.peer("stranger", games=[game], mdns=True, network=elsewhere)
    alpha = await lab.peer("alpha", mdns=True)
    bravo = await lab.peer("bravo", mdns=True)

    lab.note("another network is not even looked at")
    for peer, other in ((alpha, bravo), (bravo, alpha)):
        # The stranger was there first: a peer that took its records would know it by now.
        await peer.event("peer-discovered", peer_id=other.peer_id)
        listed = [entry.peer_id for entry in await peer.list_peers()]
        expect_equal(listed, [other.peer_id], f"{peer.name} lists its own party alone")
        expect_equal(await peer.list_games("remote"), {}, "nor the games of the other one")
    expect_equal(await stranger.list_peers(), [], "nor does the stranger list anybody")
    for peer in (alpha, bravo, stranger):
        expect_equal(peer.events("peer-rejected"), [], f"{peer.name} was not dialled in vain")
    await expect_refused(alpha, stranger, "network")
    await expect_refused(stranger, alpha, "network")

    lab.note("a closed party")
    keyholder = await lab.peer("keyholder", network_key=KEY, games=[game])
    friend = await lab.peer("friend", network_key=KEY)
    guesser = await lab.peer("guesser", network_key=f"{KEY}?")
    await expect_refused(guesser, keyholder, "network_key")
    await expect_refused(keyholder, guesser, "network_key")
    await expect_refused(alpha, keyholder, "network_key")
    await expect_refused(keyholder, alpha, "network_key")
    await friend.connect(keyholder)
    await friend.download(game, wait=True)
    expect_equal((await guesser.status()).peer_count, 0, "who guesses the key knows nobody")


async def expect_refused(dialler: Peer, dialled: Peer, reason: str) -> None:
    """Neither lets the other in, both tell it, and neither keeps what the other said."""
    marks = {peer: peer.mark() for peer in (dialler, dialled)}
    with expect_error("peer-rejected"):
        await dialler.connect(dialled)
    for peer, other in ((dialler, dialled), (dialled, dialler)):
        rejected = await peer.event("peer-rejected", since=marks[peer], peer_id=other.peer_id)
        expect_equal(rejected.data.text("reason"), reason, f"{peer.name} says why")
        known = {entry.peer_id for entry in await peer.list_peers()}
        expect(other.peer_id not in known, f"{peer.name} does not list {other.name}", known)
