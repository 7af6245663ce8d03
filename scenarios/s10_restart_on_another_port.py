"""Restart on another port: same peer_id, `peer-updated`, no duplicate."""

from lanspread_harness import Lab, Meta, Need, expect, expect_equal

META = Meta(needs=frozenset({Need.MDNS}))


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha", mdns=True)
    bravo = await lab.peer("bravo", mdns=True)
    await alpha.event("peer-discovered", peer_id=bravo.peer_id)
    await bravo.event("peer-discovered", peer_id=alpha.peer_id)

    before, old_id, old_addr = alpha.mark(), bravo.peer_id, bravo.addr
    await bravo.restart()
    expect_equal(bravo.peer_id, old_id, "the id outlives a restart")
    expect(bravo.addr != old_addr, "the system gave another port", bravo.addr)

    # Killed, it said no goodbye: it is still listed at the old address until it is seen at the new.
    await alpha.event("peer-updated", peer_id=bravo.peer_id, addr=bravo.addr, since=before)
    listed = [(entry.peer_id, entry.addr) for entry in await alpha.list_peers()]
    expect_equal(listed, [(bravo.peer_id, bravo.addr)], "it is listed once, at its new address")
    expect_equal(alpha.events("peer-lost"), [], "it was never lost")
    await bravo.event("peer-discovered", peer_id=alpha.peer_id)
