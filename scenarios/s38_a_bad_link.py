"""Over a link with 5 % loss, 100 ms, jitter and reordering a download completes, byte-identical."""

from lanspread_harness import Lab, Link, Meta, Need, Noise, expect_equal, expect_same_game

META = Meta(needs=frozenset({Need.LINKS}), timeout_s=120, expected_s=14, cores=0.5)

BAD = Link(delay_ms=50, jitter_ms=10, loss=0.05, reorder=0.05, duplicate=0.01)
"""For each direction, so a round trip takes 100 ms."""

GAME_BYTES = 700 * 1024 + 17
"""Loss makes a sender careful: some fifty kilobytes a second are left of any link."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Noise(GAME_BYTES), "docs/read me.txt": Noise(50_000)})
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo")
    async with lab.shape(bravo, BAD):
        await bravo.connect(alpha)
        await bravo.download(game, wait=True, timeout_s=META.timeout_s)
        expect_equal(bravo.events("peer-lost"), [], "the source was never lost")
    await expect_same_game(game, alpha, bravo)
    finished = await bravo.event("download-finished", game_id=game.id)
    served = sum(source.integer("bytes") for source in finished.data.children("sources"))
    expect_equal(served, game.size, "every byte is fetched once")
