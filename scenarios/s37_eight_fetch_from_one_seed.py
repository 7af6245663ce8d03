"""Eight peers fetch from one seed: they serve each other, it sends little more than a copy."""

import asyncio
import itertools

from lanspread_harness import MIB, Lab, Meta, Sparse, expect, expect_same_game

META = Meta(timeout_s=120, expected_s=22, cores=0.4)

LEECHERS = 8
# In the place of a link each way: far below what the machine can do, so that the limit decides.
UPLOAD_LIMIT = "8MiB"
# Eight copies from the seed alone would be 8.0.
COPIES_MAX = 1.5


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(128 * MIB)})
    seed = await lab.peer("seed", games=[game], upload_limit=UPLOAD_LIMIT)
    async with asyncio.TaskGroup() as tasks:
        starting = [
            tasks.create_task(lab.peer(f"peer{number}", upload_limit=UPLOAD_LIMIT))
            for number in range(1, LEECHERS + 1)
        ]
    leechers = [task.result() for task in starting]
    async with asyncio.TaskGroup() as tasks:
        for one, other in itertools.combinations([seed, *leechers], 2):
            tasks.create_task(one.connect(other))

    async with asyncio.TaskGroup() as tasks:
        for leecher in leechers:
            tasks.create_task(leecher.download(game, wait=True, timeout_s=90))
    for leecher in leechers:
        await expect_same_game(game, seed, leecher)

    from_seed = 0
    from_others: dict[str, int] = {}
    for leecher in leechers:
        finished = await leecher.event("download-finished", game_id=game.id)
        sources = finished.data.children("sources")
        served = {source.text("peer_id"): source.integer("bytes") for source in sources}
        from_seed += served.pop(seed.peer_id, 0)
        from_others[leecher.name] = sum(served.values())
        expect(from_others[leecher.name] > 0, f"{leecher.name} fetches from others", served)
    copies = from_seed / game.size
    lab.note(f"the seed gave {copies:.2f} copies to {LEECHERS} peers")
    expect(copies <= COPIES_MAX, f"the seed gives at most {COPIES_MAX} copies", copies, from_others)
