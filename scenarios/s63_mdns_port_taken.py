"""A program that keeps UDP port 5353 for itself is told, and mDNS works soon after it is gone."""

from lanspread_harness import Lab, Meta, Need, expect, expect_equal

META = Meta(needs=frozenset({Need.MDNS, Need.NAMESPACES}), timeout_s=90, expected_s=12, cores=0.2)

MDNS_PORT = 5353

RECOVERY_S = 40
"""mDNS is tried again every five seconds; the rest is for a busy machine."""


async def scenario(lab: Lab) -> None:
    lab.expects("peers cannot be found by mDNS")
    alpha = await lab.peer("alpha", mdns=True)
    bravo = await lab.peer("bravo", mdns=True)
    await bravo.event("peer-discovered", peer_id=alpha.peer_id)
    expect_equal(bravo.events("mdns-failed"), [], "nothing is wrong")

    await bravo.kill()
    async with lab.port_taken(bravo, MDNS_PORT):
        await bravo.start()
        failed = await bravo.event("mdns-failed")
        message = failed.data.child("error").text("message")
        expect(str(MDNS_PORT) in message, "it is told which port", message)
        status = await bravo.command("status")
        expect_equal(status.text("mdns"), "failed", "the status tells the same")
        # What mDNS cannot do is still possible.
        await bravo.connect(alpha)
        expect_equal((await bravo.status()).peer_count, 1, "it works without mDNS")
        mark = bravo.mark()
    await bravo.event("mdns-recovered", since=mark, timeout_s=RECOVERY_S)
    expect_equal((await bravo.command("status")).text("mdns"), "working", "it works again")
    expect_equal(len(bravo.events("mdns-failed")), 1, "one failure is told once")

    charlie = await lab.peer("charlie", mdns=True)
    await bravo.event("peer-discovered", peer_id=charlie.peer_id)
