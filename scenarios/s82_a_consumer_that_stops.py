"""A consumer reads no events while refused hellos pour in: the peer serves on, and stays small."""

from lanspread_harness import MIB, Lab, Meta, Need, Sparse
from lanspread_harness.hostile import (
    HARDER,
    Aimed,
    Wrong,
    attacked,
    compare_fetches,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    refused,
)

META = Meta(needs=frozenset({Need.HOSTILE}), timeout_s=120, expected_s=20, cores=2, alone=True)

RATE = 40 * HARDER
"""Refused hellos a second of each kind, each of which is an event."""

UNREAD = 3_000
"""So many events, while nobody reads, are more than pipes and queues hold."""


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", "another version of the protocol", " WARN ")
    game = lab.game("quake", {"quake.eti": Sparse(256 * MIB)})
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    def refusing(wrong: Wrong) -> Aimed:
        return Aimed(
            lambda targets: refused(targets, rate=RATE, wrong=wrong),
            lambda tally: tally.opened >= RATE,
        )

    attacks = [refusing(wrong) for wrong in Wrong]
    async with lab.unread(alpha):
        lab.note("nobody reads what alpha prints")
        async with attacked(lab, attacks, [alpha.addr], name="before") as mallories:
            for mallory in mallories:
                await mallory.until(
                    "to knock often", lambda tally: tally.opened >= UNREAD / len(attacks)
                )
        compared = await compare_fetches(lab, lambda: fetch_s(bravo, game), attacks, [alpha])
    lab.note("its output is read again")
    await alpha.status()
    expect_not_slower(compared)
    expect_small(lab, [alpha, bravo])
    expect_unharmed([alpha, bravo])
