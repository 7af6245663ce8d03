"""Three sources: one sparse archive of many chunks, every source served a part of that file."""

import asyncio

from lanspread_harness import MIB, Lab, Meta, Sparse, expect, expect_equal, expect_same_game

META = Meta(timeout_s=75, cores=0.4)

UPLOAD_LIMIT = "16MiB"
"""Of each source, so that none of them is done before the others have begun."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    sources = await lab.sources("alpha", "bravo", "charlie", game=game, upload_limit=UPLOAD_LIMIT)
    delta = await lab.peer("delta")
    async with asyncio.TaskGroup() as tasks:
        for source in sources:
            tasks.create_task(delta.connect(source))

    await delta.download(game, wait=True)
    await expect_same_game(game, sources[0], delta)
    finished = await delta.event("download-finished", game_id=game.id)
    served = {s.text("peer_id"): s.integer("bytes") for s in finished.data.children("sources")}
    expect_equal(set(served), {source.peer_id for source in sources}, "all three are used")
    # The archive is the only file, so all bytes are bytes of it.
    expect(
        all(count > 0 for count in served.values()),
        "every source served a part of the archive",
        served,
    )
    expect(sum(served.values()) >= game.size, "together they served all of it", served)
