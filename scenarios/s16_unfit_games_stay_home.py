"""A game that is not ready is neither announced nor served.

That is one outside the catalog, one without a sentinel, one with only a nested sentinel, and one
of the wrong version.
"""

from dataclasses import replace

from lanspread_harness import SENTINEL, Lab, expect, expect_equal, expect_error

OLD_VERSION = "20230101"


async def scenario(lab: Lab) -> None:
    good = lab.game("good")
    outside = lab.game("outside", catalog=False)
    bare = lab.game("bare")
    nested = lab.game("nested")
    outdated = lab.game("outdated")
    unfit = [outside, bare, nested, outdated]

    alpha = await lab.peer("alpha", games=[good, outside], start=False)
    bare.write(alpha.games_dir, sentinel=None)
    nested.write(alpha.games_dir, sentinel=f"sub/{SENTINEL}")
    replace(outdated, version=OLD_VERSION).write(alpha.games_dir)
    await alpha.start()
    # What alpha keeps to itself must not depend on what others would take.
    bravo = await lab.peer(
        "bravo", catalog=[good, outside, bare, nested, replace(outdated, version=OLD_VERSION)]
    )
    await bravo.connect(alpha)

    local = await alpha.list_games("local")
    expect_equal(local[good.id].availability, "ready", "a complete game is ready")
    expect(outside.id not in local, "a game outside the catalog is not listed", list(local))
    expect_equal(local[outdated.id].availability, "local_only", "a wrong version is local only")
    for game in (bare, nested):
        expect(
            game.id not in local or not local[game.id].downloaded,
            f"{game.id} does not count as downloaded",
        )

    expect_equal(list(await bravo.list_games("remote")), [good.id], "only that one is announced")
    for game in unfit:
        with expect_error("no-source"):
            await bravo.download(game)
    await bravo.download(good, wait=True)
