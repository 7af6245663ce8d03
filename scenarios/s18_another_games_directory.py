"""`set-game-dir` swaps the announced library, and what is watched."""

from lanspread_harness import Fields, Lab, expect, expect_equal, expect_error


async def scenario(lab: Lab) -> None:
    old, new, late = lab.game("quake"), lab.game("doom"), lab.game("hexen")
    alpha = await lab.peer("alpha", games=[old])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    expect_equal(list(await bravo.list_games("remote")), [old.id], "the old library is announced")

    other = alpha.games_dir.with_name("other")
    new.write(other)
    with expect_error("games-dir-unusable"):
        await alpha.command("set-game-dir", path=str(other / "missing"))
    before, local_before = bravo.mark(), alpha.mark()
    answered = await alpha.command("set-game-dir", path=str(other))
    expect_equal(answered.text("games_dir"), str(other), "the answer names the directory")
    await alpha.event("local-games-updated", since=local_before, game_count=1)

    def names_both(data: Fields) -> bool:
        return data.items("changed") == [new.id, old.id]

    await bravo.event("games-list-updated", where=names_both, since=before)
    expect_equal(list(await bravo.list_games("remote")), [new.id], "only the new one is announced")
    with expect_error("no-source"):
        await bravo.download(old)
    await bravo.download(new, wait=True)

    lab.note("only the new directory counts from now on")
    before = alpha.mark()
    late.write(alpha.games_dir)
    late.write(other)
    updated = await alpha.event("local-games-updated", since=before, game_count=2)
    expect(late.id in updated.data.items("changed"), "a game in the new directory is noticed")
    before = bravo.mark()
    await alpha.command("set-game-dir", path=str(alpha.games_dir))
    await bravo.event("games-list-updated", since=before)
    remote = sorted(await bravo.list_games("remote"))
    expect_equal(remote, [late.id, old.id], "the first directory is taken back")
