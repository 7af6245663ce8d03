"""Bursts of mDNS records of nobody, and forged goodbyes: honest peers meet, nobody is dialled."""

from lanspread_harness import MIB, Lab, Meta, Need, Sparse, expect
from lanspread_harness.hostile import (
    HARDER,
    Aimed,
    Comparison,
    attacked,
    expect_met,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    mdns,
    sink,
)

META = Meta(
    # On loopback the records would reach every peer of the machine.
    needs=frozenset({Need.HOSTILE, Need.MDNS, Need.NAMESPACES}),
    timeout_s=120,
    expected_s=20,
    cores=2,
    alone=True,
)

RATE = 2_000 * HARDER
"""Peers a second that appear: 2,000 were enough to keep a newcomer from every honest peer."""

NOBODY = "198.51.100.1:4711"
"""An address of no network (RFC 5737): off the link."""

NOT_MDNS = 5454
"""A port of nobody: records sent to it cost the machine as much."""

DIALS_MOST = 200
"""Dials of three peers to one address while records name it: a few a second, not one a record."""


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", " WARN ")
    game = lab.game("quake", {"quake.eti": Sparse(256 * MIB)})
    alpha = await lab.peer("alpha", games=[game], mdns=True)
    bravo = await lab.peer("bravo", mdns=True)
    await bravo.wait_peers(1)
    async with lab.hostile("victim", sink(), cpu=1.0) as victim:

        def records(port: int) -> Aimed:
            return Aimed(
                lambda _: mdns([victim.addr, NOBODY], rate=RATE, port=port),
                lambda tally: tally.records >= RATE,
            )

        def goodbyes(port: int) -> Aimed:
            ids = [alpha.peer_id, bravo.peer_id]
            return Aimed(
                lambda _: mdns([NOBODY], rate=RATE / 20, goodbyes=ids, port=port),
                lambda tally: tally.records > 0,
            )

        async with attacked(lab, [records(5353), goodbyes(5353)], [], name="before"):
            charlie = await lab.peer("charlie", mdns=True)
            await expect_met(lab, charlie, [alpha, bravo])
        async with attacked(lab, [records(NOT_MDNS), goodbyes(NOT_MDNS)], [], name="calm"):
            calm_s = await fetch_s(bravo, game)
        async with attacked(lab, [records(5353), goodbyes(5353)], []):
            attack_s = await fetch_s(bravo, game)
        dials = victim.tally.opened
    lab.figure(f"the address in the records was dialled {dials} times")
    expect(dials <= DIALS_MOST, f"it is dialled at most {DIALS_MOST} times", dials)
    expect_not_slower(Comparison(calm_s, attack_s))
    expect_small(lab, [alpha, bravo, charlie])
    expect_unharmed([alpha, bravo, charlie])
