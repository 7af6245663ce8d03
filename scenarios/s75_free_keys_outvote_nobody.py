"""Many keys at one address that claim another content decide nothing against two honest sources."""

from lanspread_harness import (
    MIB,
    Game,
    Lab,
    Meta,
    Need,
    Noise,
    Peer,
    expect_equal,
    expect_same_game,
)
from lanspread_harness.hostile import HARDER, Give, expect_small, expect_unharmed, source

META = Meta(needs=frozenset({Need.HOSTILE}), timeout_s=60, expected_s=6, cores=1)

LIARS = 3
"""As many keys as were enough against two honest sources."""


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped", "peer-rejected", " WARN ")
    game = lab.game("quake", {"quake.eti": Noise(9 * MIB + 3)})
    honest = await lab.sources("alpha", "bravo", game=game)
    roots = {await peer.hashed(game) for peer in honest}
    expect_equal(len(roots), 1, "the honest sources have one content")
    for receiver, liars in (("charlie", LIARS), ("delta", LIARS * HARDER)):
        await expect_honest_content(lab, game, receiver, liars, honest)


async def expect_honest_content(
    lab: Lab, game: Game, name: str, liars: int, honest: list[Peer]
) -> None:
    """A new peer that knows honest and lying sources fetches what the honest ones have."""
    alpha = honest[0]
    receiver = await lab.peer(name)
    for peer in honest:
        await receiver.connect(peer)
    attack = source([receiver.addr], game, learn_from=alpha.addr, identities=liars, give=Give.FALSE)
    async with lab.hostile(f"liar-of-{name}", attack) as liar:
        await liar.until("to be known", lambda tally: tally.requests >= liars)
        lab.note(f"{name} knows {liars} liars and {len(honest)} honest sources")
        await receiver.download(game, wait=True)
    await expect_same_game(game, alpha, receiver)
    expect_equal(await receiver.hashed(game), await alpha.hashed(game), "the content is the same")
    expect_small(lab, [receiver])
    expect_unharmed([receiver, *honest])
