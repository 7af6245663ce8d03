"""Cancel at 5 %, 50 %, 95 %: root gone, no active operation, download again works."""

from lanspread_harness import MIB, Lab, Meta, Sparse, expect, expect_equal, expect_same_game

META = Meta(timeout_s=120)

PERCENTAGES = (5, 50, 95)

EARLY_PERCENT = 4
"""How much before its mark a cancel is sent: progress is told ten times a second, and a fast peer
must not finish in between."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(1024 * MIB)})
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    for percent in PERCENTAGES:
        lab.note(f"cancel at {percent} %")
        before = bravo.mark()
        await bravo.download(game)
        await bravo.downloaded(game, (percent - EARLY_PERCENT) / 100, since=before)
        await bravo.cancel_download(game)
        await bravo.event("download-cancelled", game_id=game.id, since=before)
        expect_equal(bravo.events("download-finished"), [], "a cancelled download never finishes")
        expect(not bravo.root(game).exists(), f"the root is gone after cancel at {percent} %")
        status = await bravo.status()
        expect_equal(status.active_operations, 0, "no operation is active")

    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
