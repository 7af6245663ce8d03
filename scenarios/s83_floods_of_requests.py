"""Floods of resets, slow headers, complaints, changes and claims: honest downloads go on."""

from lanspread_harness import MIB, Lab, Meta, Need, Sparse
from lanspread_harness.hostile import (
    Aimed,
    Request,
    attacked,
    compare_fetches,
    expect_connected,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    flood,
)

META = Meta(needs=frozenset({Need.HOSTILE}), timeout_s=120, expected_s=20, cores=2, alone=True)

RATE = 1_000
"""Requests a second of each kind, as far as the share of a core goes."""

IDENTITIES = 4


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", "source-dropped", " WARN ")
    game = lab.game("quake", {"quake.eti": Sparse(256 * MIB)})
    alpha = await lab.peer("alpha", games=[game])
    await alpha.hashed(game)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    def flooding(request: Request) -> Aimed:
        return Aimed(
            lambda targets: flood(
                targets,
                game,
                learn_from=alpha.addr,
                request=request,
                identities=IDENTITIES,
                rate=RATE,
            ),
            lambda tally: tally.asked >= RATE / len(Request) or tally.refused > 0,
        )

    attacks = [flooding(request) for request in Request]
    compared = await compare_fetches(lab, lambda: fetch_s(bravo, game), attacks, [alpha, bravo])
    expect_not_slower(compared)
    lab.note("a newcomer is let in while it goes on, and fetches")
    async with attacked(lab, attacks, [alpha.addr, bravo.addr], name="again"):
        charlie = await lab.peer("charlie")
        await expect_connected(lab, charlie, alpha)
        await charlie.download(game, wait=True)
    expect_small(lab, [alpha, bravo, charlie])
    expect_unharmed([alpha, bravo, charlie])
