"""Update while others fetch from it: their transfers end first; they finish elsewhere or fail."""

import asyncio
from dataclasses import replace

from lanspread_harness import (
    MIB,
    SENTINEL,
    Fields,
    Game,
    Lab,
    Meta,
    Noise,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(expected_s=9, cores=0.4)

UPLOAD_LIMIT = "32MiB"
"""Of each source: the game takes one of them six seconds, on a fast machine as well."""

UPDATE_AT = 0.1

CLEAN_FAILURES = ("download-all-peers-gone", "bad-sources", "no-manifest", "content-mismatch")
"""Which of them depends on whether the source is seen without the game, or with the other one."""


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    game = lab.game("quake", {"quake.eti": Sparse(192 * MIB)})
    other = replace(game, files={"quake.eti": Noise(3 * MIB)})
    alpha, twin = await lab.sources("alpha", "twin", game=game, upload_limit=UPLOAD_LIMIT)
    reissue = await lab.peer("reissue", games=[other])
    for source in (alpha, twin):
        with expect_error("up-to-date"):
            await source.update(game)
        await source.connect(reissue)

    # Who has another source finishes there.
    carol = await lab.peer("carol")
    for source in (alpha, twin):
        await carol.connect(source)
    async with asyncio.TaskGroup() as tasks:
        fetch = tasks.create_task(carol.download(game, wait=True))
        await carol.downloaded(game, UPDATE_AT)
        await update_to(reissue, alpha, other)
        expect(not fetch.done(), "the update came while it was fetched")
        await alpha.event("outbound-transfer-count-changed", game_id=game.id, count=0)
    await expect_same_game(game, twin, carol)
    await carol.shutdown()
    await carol.exited()

    # Who has no other source ends without a game.
    dave = await lab.peer("dave")
    await dave.connect(twin)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fetch_in_vain(dave, game))
        await dave.downloaded(game, UPDATE_AT)
        await update_to(reissue, twin, other)
    expect(not (dave.root(game) / SENTINEL).exists(), "no sentinel of a partial download")
    expect_equal((await dave.status()).active_operations, 0, "no operation is active")


async def update_to(source: Peer, peer: Peer, game: Game) -> None:
    """Update a peer that serves the game, and hold it to ending its transfers."""
    before = peer.mark()
    expect_equal((await peer.status()).outbound_transfers, 1, f"{peer.name} serves the game")
    await peer.update(game, wait=True)
    hidden = await peer.event("local-games-updated", where=is_updating, since=before)
    begun = await peer.event("download-begin", game_id=game.id, since=before)
    expect(hidden.seq < begun.seq, "the game is hidden before its files are touched")
    await expect_same_game(game, source, peer)


def is_updating(data: Fields) -> bool:
    """Whether an update is going on."""
    active = data.children("active_operations")
    return any(operation.text("operation") == "updating" for operation in active)


async def fetch_in_vain(peer: Peer, game: Game) -> None:
    """The download has a terminal record of its own, which says why."""
    with expect_error(*CLEAN_FAILURES):
        await peer.download(game, wait=True)
