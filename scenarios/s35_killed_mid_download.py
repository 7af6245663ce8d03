"""kill -9 mid-download, restart, download: it resumes and fetches only what was missing."""

import asyncio

from lanspread_harness import MIB, Lab, Meta, Noise, Sparse, expect, expect_equal, expect_same_game

META = Meta(expected_s=7, timeout_s=90, cores=0.4)

UPLOAD_LIMIT = "24MiB"
"""Of the source: the game takes five seconds, on a fast machine as well."""

SHARES = (0.3, 0.6)
"""How much is there at the first and at the second kill."""

SAVED_AT_LEAST = 0.2
"""What the journal must have claimed by then; it may be behind by a second of the download."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(128 * MIB), "docs/read me.txt": Noise(5)})
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo")
    for share in SHARES:
        await bravo.connect(alpha)
        await bravo.download(game)
        await bravo.downloaded(game, share)
        await bravo.kill()
        expect_equal(bravo.events("download-finished"), [], "it is killed while it downloads")
        await bravo.start()
        expect(not (bravo.root(game) / "version.ini").exists(), "nothing is committed")

    await bravo.connect(alpha)
    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    finished = await bravo.event("download-finished", game_id=game.id)
    sent = sum(source.integer("bytes") for source in finished.data.children("sources"))
    expect(0 < sent <= (1 - SAVED_AT_LEAST) * game.size, "what was there is not sent again", sent)
    journals = await asyncio.to_thread(lambda: list(bravo.options.state_dir.rglob("*.journal")))
    expect_equal(journals, [], "a finished download leaves no journal")
