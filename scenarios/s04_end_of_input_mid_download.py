"""End of input while a download runs: clean exit, no sentinel, the other side saw goodbye."""

import asyncio

from lanspread_harness import (
    MIB,
    SENTINEL,
    Game,
    Lab,
    Peer,
    Sparse,
    expect,
    expect_clean_exit,
    expect_equal,
    expect_error,
)


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(2048 * MIB)})
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(download_until_shutdown(bravo, game))
        await bravo.event("download-progress", game_id=game.id)
        bravo.close_stdin()
        expect_clean_exit(await bravo.exited(), bravo)

    lost = await alpha.event("peer-lost", peer_id=bravo.peer_id)
    expect_equal(lost.data.text("reason"), "goodbye", "the other side saw goodbye")
    expect(not (bravo.root(game) / SENTINEL).exists(), "no sentinel of a partial download")
    status = await alpha.status()
    expect_equal(status.peer_count, 0, "the source knows nobody any more")


async def download_until_shutdown(peer: Peer, game: Game) -> None:
    """The download has a terminal record of its own, before the peer ends."""
    with expect_error("shutting-down"):
        await peer.download(game, wait=True)
