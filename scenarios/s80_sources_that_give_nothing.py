"""Hundreds of sources that announce a game and give nothing of it: the honest one is found."""

from lanspread_harness import MIB, Lab, Meta, Need, Sparse, expect_same_game
from lanspread_harness.hostile import (
    HARDER,
    Aimed,
    Give,
    compare_fetches,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    source,
)

META = Meta(needs=frozenset({Need.HOSTILE}), timeout_s=150, expected_s=25, cores=2, alone=True)

SOURCES = 70
"""As many as were enough to keep a download from its one honest source for ever."""

GIVES = (Give.NOTHING, Give.HEAD, Give.WRONG, Give.TRICKLE, Give.BUSY)


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped", "peer-rejected", " WARN ")
    game = lab.game("quake", {"quake.eti": Sparse(512 * MIB)})
    alpha = await lab.peer("alpha", games=[game])
    await alpha.hashed(game)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    def giving(give: Give) -> Aimed:
        identities = SOURCES * HARDER // len(GIVES)
        return Aimed(
            lambda targets: source(
                targets, game, learn_from=alpha.addr, identities=identities, give=give
            ),
            lambda tally: tally.opened >= identities,
        )

    attacks = [giving(give) for give in GIVES]
    compared = await compare_fetches(lab, lambda: fetch_s(bravo, game), attacks, [bravo])
    expect_not_slower(compared)
    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    expect_small(lab, [alpha, bravo])
    expect_unharmed([alpha, bravo])
