"""All sources gone: `download-all-peers-gone`, no second terminal event, and chunks are kept."""

import asyncio

from lanspread_harness import (
    MIB,
    Lab,
    Meta,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(expected_s=9, timeout_s=90, cores=0.4)

UPLOAD_LIMIT = "16MiB"
"""Of each source: after the share below the game takes them two more seconds, in which both die."""

KILL_AT = 0.3

KEPT_AT_LEAST = 0.25
"""Less than what was there when the sources were killed: the share that must not be sent again."""

ENDS = ("download-finished", "download-failed", "download-cancelled", "download-all-peers-gone")


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    sources = await lab.sources("alpha", "bravo", game=game, upload_limit=UPLOAD_LIMIT)
    charlie = await lab.peer("charlie", ping_after_s=1, peer_timeout_s=3)
    for source in sources:
        await charlie.connect(source)

    async def download() -> None:
        with expect_error("download-all-peers-gone"):
            await charlie.download(game, wait=True)

    async with asyncio.TaskGroup() as tasks:
        downloading = tasks.create_task(download())
        await charlie.downloaded(game, KILL_AT)
        expect(not downloading.done(), "the sources are killed while the download runs")
        for source in sources:
            await source.kill()
    expect_equal(ends(charlie), ["download-all-peers-gone"], "there is one terminal event")
    expect(not (charlie.root(game) / "version.ini").exists(), "nothing is committed")
    expect_equal((await charlie.status()).active_operations, 0, "no operation is active")

    before = charlie.mark()
    await sources[0].start()
    await charlie.connect(sources[0])
    await charlie.download(game, wait=True)
    await expect_same_game(game, sources[0], charlie)
    finished = await charlie.event("download-finished", game_id=game.id, since=before)
    sent = sum(source.integer("bytes") for source in finished.data.children("sources"))
    expect(0 < sent <= (1 - KEPT_AT_LEAST) * game.size, "what was kept is not sent again", sent)
    expect_equal(ends(charlie, since=before), ["download-finished"], "it ends once")


def ends(peer: Peer, *, since: int = 0) -> list[str]:
    """The names of all terminal events of downloads."""
    return [name for name in ENDS for _ in peer.events(name, since=since)]
