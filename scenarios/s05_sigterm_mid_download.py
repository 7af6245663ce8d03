"""SIGTERM while a download runs: clean exit like at end of input; a second signal ends at once."""

import signal

from lanspread_harness import MIB, SENTINEL, Lab, Sparse, expect, expect_clean_exit, expect_equal

AT_ONCE_S = 2.0
"""Starting and reaping a process or a container takes a part of this, a shutdown nothing."""

SECOND_SIGNAL_CODES = (130, 143)
"""What a shell makes of SIGINT and SIGTERM; whichever is taken in second decides."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(2048 * MIB)})
    alpha = await lab.peer("alpha", games=[game])

    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    await bravo.download(game)
    await bravo.event("download-progress", game_id=game.id)
    await bravo.signal(signal.SIGTERM)
    expect_clean_exit(await bravo.exited(), bravo)
    lost = await alpha.event("peer-lost", peer_id=bravo.peer_id)
    expect_equal(lost.data.text("reason"), "goodbye", "the other side saw goodbye")
    expect(not (bravo.root(game) / SENTINEL).exists(), "no sentinel of a partial download")

    # A source that hears nothing makes the shutdown take as long as it may.
    charlie = await lab.peer("charlie")
    await charlie.connect(alpha)
    await charlie.download(game)
    await charlie.event("download-progress", game_id=game.id)
    await alpha.freeze()
    # Two of one kind might be delivered as one.
    await charlie.signal(signal.SIGTERM)
    await charlie.signal(signal.SIGINT)
    status = await charlie.exited(timeout_s=AT_ONCE_S)
    # A container's status does not tell a code from a signal.
    code = status.code if status.signal is None else 128 + status.signal
    expect(code in SECOND_SIGNAL_CODES, "it ends by the second signal", status)
    expect_equal(charlie.events("stopped"), [], "it does not wait for the clean end")
    expect(not (charlie.root(game) / SENTINEL).exists(), "no sentinel of a partial download")
