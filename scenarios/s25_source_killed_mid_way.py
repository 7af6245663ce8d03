"""A source killed mid-way: the download finishes from the others."""

import asyncio

from lanspread_harness import MIB, Lab, Meta, Sparse, expect, expect_equal, expect_same_game

META = Meta(expected_s=7, timeout_s=90, cores=0.4)

UPLOAD_LIMIT = "12MiB"
"""Of each source: the game takes them three seconds, on a fast machine as well."""

KILL_AT = 0.2


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    sources = await lab.sources("alpha", "bravo", "charlie", game=game, upload_limit=UPLOAD_LIMIT)
    delta = await lab.peer("delta", ping_after_s=1, peer_timeout_s=4)
    for source in sources:
        await delta.connect(source)

    victim = sources[1]
    async with asyncio.TaskGroup() as tasks:
        download = tasks.create_task(delta.download(game, wait=True))
        await delta.downloaded(game, KILL_AT)
        expect(not download.done(), "the source is killed while the download runs")
        await victim.kill()

    expect_equal(delta.events("download-failed"), [], "the download does not fail")
    await expect_same_game(game, sources[0], delta)
    finished = await delta.event("download-finished", game_id=game.id)
    served = {s.text("peer_id"): s.integer("bytes") for s in finished.data.children("sources")}
    survivors = [source.peer_id for source in sources if source is not victim]
    expect(all(served.get(peer, 0) > 0 for peer in survivors), "both others served", served)
    await delta.event("peer-lost", peer_id=victim.peer_id)
