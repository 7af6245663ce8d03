"""Cancel at 5 %, 50 %, 95 %: root gone, no active operation, download again works."""

from lanspread_harness import (
    MIB,
    CommandError,
    Game,
    Lab,
    Meta,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
)

META = Meta(expected_s=11, timeout_s=120, cores=0.4)

UPLOAD_LIMIT = "24MiB"
"""Of the source: a cancel at 95 % has a fifth of a second to arrive, on a fast machine as well."""

PERCENTAGES = (5, 50, 95)

EARLY_PERCENT = 4
"""How much before its mark a cancel is sent, since progress is told only ten times a second."""

ATTEMPTS = 3
"""A download may still end before the cancel at 95 % arrives; then another game has its turn."""


async def scenario(lab: Lab) -> None:
    games = [lab.game(f"quake {n}", {"quake.eti": Sparse(96 * MIB)}) for n in range(ATTEMPTS)]
    bravo = await lab.peer("bravo")
    for number, game in enumerate(games):
        source = await lab.peer(f"source{number}", games=[game], upload_limit=UPLOAD_LIMIT)
        await bravo.connect(source)
        if await is_cancelled_at_each(lab, bravo, game):
            break
    else:
        expect(condition=False, expectation=f"one of {ATTEMPTS} downloads is cancelled in time")

    await bravo.download(game, wait=True)
    await expect_same_game(game, source, bravo)


async def is_cancelled_at_each(lab: Lab, peer: Peer, game: Game) -> bool:
    """Whether every cancel came before the end; fails where one that did has not its effect."""
    for percent in PERCENTAGES:
        lab.note(f"cancel at {percent} %")
        before = peer.mark()
        await peer.download(game)
        await peer.downloaded(game, (percent - EARLY_PERCENT) / 100, since=before)
        try:
            await peer.cancel_download(game)
        except CommandError as error:
            if error.code == "not-downloading" and peer.events("download-finished", since=before):
                return False
            raise
        await peer.event("download-cancelled", game_id=game.id, since=before)
        finished = peer.events("download-finished", since=before)
        expect_equal(finished, [], "a cancelled download never finishes")
        expect(not peer.root(game).exists(), f"the root is gone after cancel at {percent} %")
        status = await peer.status()
        expect_equal(status.active_operations, 0, "no operation is active")
    return True
