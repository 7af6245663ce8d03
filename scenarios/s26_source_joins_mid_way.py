"""A source that joins while a download runs is used for what is left of it."""

import asyncio

from lanspread_harness import MIB, Lab, Meta, Sparse, expect, expect_equal, expect_same_game

META = Meta(timeout_s=90, expected_s=4, cores=0.4)

UPLOAD_LIMIT = "24MiB"
"""Of each source: the game takes one of them four seconds, on a fast machine as well."""

JOINS_AT = 0.1

FAIR_SHARE = 0.1
"""Of all bytes. Half of what is left would be 0.45; on a busy machine the newcomer starts late."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    alpha, latecomer = await lab.sources("alpha", "latecomer", game=game, upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    listed = (await bravo.list_games("remote"))[game.id]
    expect_equal(listed.peer_count, 1, "there is one source at first")

    async with asyncio.TaskGroup() as tasks:
        download = tasks.create_task(bravo.download(game, wait=True))
        await bravo.downloaded(game, JOINS_AT)
        await bravo.connect(latecomer)
        expect(not download.done(), "the source joins while the download runs")

    finished = await bravo.event("download-finished", game_id=game.id)
    served = {s.text("peer_id"): s.integer("bytes") for s in finished.data.children("sources")}
    expect(
        served.get(latecomer.peer_id, 0) >= FAIR_SHARE * game.size,
        "the source that joined serves its share",
        served,
    )
    await expect_same_game(game, alpha, bravo)
