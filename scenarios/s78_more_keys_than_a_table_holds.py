"""A thousand keys at one address join and rejoin with large libraries: honest peers meet."""

from lanspread_harness import MIB, Game, Lab, Meta, Need, Sparse
from lanspread_harness.hostile import (
    Aimed,
    Then,
    attacked,
    compare_fetches,
    expect_connected,
    expect_met,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    join,
)

META = Meta(
    needs=frozenset({Need.HOSTILE, Need.MDNS}), timeout_s=120, expected_s=25, cores=2, alone=True
)

KEYS = 256
"""As many as a table of peers holds."""

RATE = 200

LISTED = 1_000
"""Games of the catalog, all of which each key announces."""


async def scenario(lab: Lab) -> None:
    # Those that announce the game and do not have it are dropped.
    lab.expects("peer-rejected", "source-dropped", " WARN ")
    # Without it, those who announce the game and say nothing of it have to be waited for.
    game = await lab.state_root(lab.game("quake", {"quake.eti": Sparse(256 * MIB)}))
    listed = [game, *(Game(f"game {number:04}", {}, lab.seed) for number in range(LISTED))]
    alpha = await lab.peer("alpha", games=[game], catalog=listed, mdns=True)
    bravo = await lab.peer("bravo", catalog=listed, mdns=True)
    await bravo.wait_peers(1)

    def joining(then: Then) -> Aimed:
        catalog = alpha.options.catalog
        return Aimed(
            lambda targets: join(targets, rate=RATE, identities=KEYS, then=then, catalog=catalog),
            lambda tally: tally.opened >= KEYS,
        )

    attacks = [joining(then) for then in (Then.STAY, Then.GOODBYE, Then.VANISH, Then.RENAME)]
    lab.note("newcomers meet them while the table is full")
    async with attacked(lab, attacks, [alpha.addr, bravo.addr], name="before"):
        charlie = await lab.peer("charlie", catalog=listed, mdns=True)
        await expect_met(lab, charlie, [alpha, bravo])
        delta = await lab.peer("delta", catalog=listed)
        await expect_connected(lab, delta, alpha)
    compared = await compare_fetches(lab, lambda: fetch_s(bravo, game), attacks, [alpha, bravo])
    expect_not_slower(compared)
    expect_small(lab, [alpha, bravo, charlie, delta])
    expect_unharmed([alpha, bravo, charlie, delta])
