"""No source, unknown game, busy game, second download of the same game: right error codes."""

from lanspread_harness import MIB, Lab, Sparse, expect_error


async def scenario(lab: Lab) -> None:
    big = lab.game("big", {"big.eti": Sparse(1024 * MIB)})
    small = lab.game("small")
    nowhere = lab.game("nowhere")
    alpha = await lab.peer("alpha", games=[big, small])
    bravo = await lab.peer("bravo")

    with expect_error("no-source"):
        await bravo.download(big)
    await bravo.connect(alpha)
    with expect_error("no-source"):
        await bravo.download(nowhere)
    with expect_error("unknown-game"):
        await bravo.download("no such game")
    with expect_error("invalid-params"):
        await bravo.download("../escape")

    await bravo.download(small, wait=True)
    with expect_error("already-downloaded"):
        await bravo.download(small)

    await bravo.download(big)
    with expect_error("game-busy"):
        await bravo.download(big)
    with expect_error("game-busy"):
        await bravo.uninstall(big)
    await bravo.cancel_download(big)
    with expect_error("not-downloading"):
        await bravo.cancel_download(big)
