"""Goodbye removes a peer at once; kill -9 removes it after the silence limit."""

from lanspread_harness import Lab, expect, expect_equal

PING_AFTER_S = 1
PEER_TIMEOUT_S = 3

EARLY_US = 1_000_000
"""The last sign of life may be this much older than the kill: one ping interval."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake")
    alpha = await lab.peer("alpha", ping_after_s=PING_AFTER_S, peer_timeout_s=PEER_TIMEOUT_S)

    bravo = await lab.peer("bravo", games=[game])
    await alpha.connect(bravo)
    await bravo.shutdown()
    await bravo.exited()
    lost = await alpha.event("peer-lost", peer_id=bravo.peer_id, timeout_s=PEER_TIMEOUT_S / 2)
    expect_equal(lost.data.text("reason"), "goodbye", "goodbye removes at once")
    expect_equal(await alpha.list_games("remote"), {}, "its games went with it")

    charlie = await lab.peer("charlie", games=[game])
    await alpha.connect(charlie)
    known = await alpha.event("peer-discovered", peer_id=charlie.peer_id)
    await charlie.kill()
    lost = await alpha.event("peer-lost", peer_id=charlie.peer_id)
    expect_equal(lost.data.text("reason"), "timeout", "silence removes")
    silent_us = lost.t_us - known.t_us
    expect(
        silent_us > PEER_TIMEOUT_S * 1_000_000 - EARLY_US,
        "not before the silence limit",
        f"{silent_us} us",
    )
    expect_equal(await alpha.list_peers(), [], "nobody is listed any more")
    expect_equal(await alpha.list_games("remote"), {}, "its games went with it")
