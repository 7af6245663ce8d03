"""Connections without a hello, some with full windows: honest peers meet, fetch and stay small."""

from lanspread_harness import MIB, Lab, Meta, Need, Sparse
from lanspread_harness.hostile import (
    Aimed,
    Say,
    attacked,
    compare_fetches,
    expect_connected,
    expect_met,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    silent,
)

META = Meta(
    needs=frozenset({Need.HOSTILE, Need.MDNS}), timeout_s=90, expected_s=20, cores=2, alone=True
)

RATE = 40
"""Connections a second of each kind: eight were enough to keep every honest peer out."""

OPENED = 60
"""So many come before anybody honest does: twice the handshakes that a peer has at a time."""


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", " WARN ")
    game = lab.game("quake", {"quake.eti": Sparse(256 * MIB)})
    alpha = await lab.peer("alpha", games=[game], mdns=True)
    bravo = await lab.peer("bravo", mdns=True)
    await bravo.wait_peers(1)
    attacks = [saying(say) for say in Say]

    lab.note("a newcomer meets them while it goes on")
    async with attacked(lab, attacks, [alpha.addr, bravo.addr], name="before"):
        charlie = await lab.peer("charlie", mdns=True)
        await expect_met(lab, charlie, [alpha, bravo])
        delta = await lab.peer("delta")
        for peer in (alpha, bravo):
            await expect_connected(lab, delta, peer)

    lab.note("a download goes on as beside a sink")
    compared = await compare_fetches(lab, lambda: fetch_s(bravo, game), attacks, [alpha, bravo])
    expect_not_slower(compared)
    expect_small(lab, [alpha, bravo, charlie, delta])
    expect_unharmed([alpha, bravo, charlie, delta])


def saying(say: Say) -> Aimed:
    """Connections on which something else is said than hello."""
    return Aimed(
        lambda targets: silent(targets, rate=RATE, say=say), lambda tally: tally.opened >= OPENED
    )
