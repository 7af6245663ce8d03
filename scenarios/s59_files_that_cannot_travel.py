"""A game with something that cannot travel is incomplete: said so, once, and never announced.

When what is in the way is renamed or removed, the game is announced whole.
"""

import os

from lanspread_harness import Bytes, Lab, Meta, expect_equal, expect_error, expect_same_game

META = Meta(timeout_s=60)


async def scenario(lab: Lab) -> None:
    lab.expects("the game is not shared")
    game = lab.game("quake", {"quake.eti": Bytes(b"archive"), "music/intro.ogg": Bytes(b"music")})
    alpha = await lab.peer("alpha", games=[game], start=False)
    root = alpha.root(game)
    (root / "aux.dat").write_bytes(b"")
    (root / "music" / "Level 1: Intro.ogg").write_bytes(b"")
    with open(os.fsencode(root) + b"/caf\xe9.txt", "wb"):  # noqa: ASYNC230, PTH123
        pass
    (root / "link").symlink_to("quake.eti")
    os.mkfifo(root / "pipe")
    # What never travels is in nobody's way.
    (root / "local").mkdir()
    (root / "local" / "what?").write_bytes(b"")
    await alpha.start()
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    expected = (
        ("aux.dat", "name"),
        ("caf\\xE9.txt", "not-utf8"),
        ("link", "special"),
        ("music/Level 1: Intro.ogg", "name"),
        ("pipe", "special"),
    )
    view = (await alpha.list_games("local"))[game.id]
    expect_equal((view.availability, view.problems), ("incomplete", expected), "alpha lists them")
    incomplete = await alpha.event("game-incomplete", game_id=game.id)
    expect_equal(incomplete.data.integer("problem_count"), len(expected), "and tells of them")
    expect_equal(await bravo.list_games("remote"), {}, "the game is not announced")
    with expect_error("no-source"):
        await bravo.download(game)

    lab.note("one after the other is put right")
    (root / "aux.dat").unlink()
    (root / "link").unlink()
    (root / "pipe").unlink()
    os.unlink(os.fsencode(root) + b"/caf\xe9.txt")  # noqa: PTH108
    while len((await alpha.list_games("local"))[game.id].problems) > 1:
        await alpha.event("local-games-updated", since=alpha.mark() - 1)
    expect_equal(await bravo.list_games("remote"), {}, "one is enough")
    before = bravo.mark()
    (root / "music" / "Level 1: Intro.ogg").rename(root / "music" / "Level 1.ogg")
    # Below the root nothing is watched; whoever touches the root makes the peer look.
    (root / "readme.txt").write_bytes(b"")
    await bravo.event("games-list-updated", since=before)
    view = (await alpha.list_games("local"))[game.id]
    expect_equal((view.availability, view.problems), ("ready", ()), "now it is whole")
    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
