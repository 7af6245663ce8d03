"""A `.local.*` directory without a peer's marker is left alone, whatever is done with the game."""

from lanspread_harness import (
    Game,
    Lab,
    Peer,
    expect,
    expect_equal,
    expect_error,
)

MARKER = ".lanspread_owned"
FOREIGN = (".local.installing", ".local.backup")


async def scenario(lab: Lab) -> None:
    archive = await lab.rar("quake", {"game.exe": 1000})
    foreign = [lab.game(f"quake {n}", {"quake.eti": archive}) for n in range(len(FOREIGN))]
    owned = lab.game("owned", {"quake.eti": archive})
    alpha = await lab.peer("alpha", games=[*foreign, owned], start=False)
    for game, name in zip(foreign, FOREIGN, strict=True):
        theirs = alpha.root(game) / name
        theirs.mkdir()
        (theirs / "theirs").write_text("precious")
        ours = alpha.root(owned) / name
        ours.mkdir()
        (ours / MARKER).write_text("installing")
        (ours / "half").write_text("of no use")

    (half, backup) = foreign
    await alpha.start()
    expect(not list(alpha.root(owned).glob(".local.*")), "what a peer left behind is swept")
    expect_untouched(alpha, foreign, "a start")

    for game in foreign:
        with expect_error("still-installed"):
            await alpha.remove_download(game)
    with expect_error("io-error"):
        await alpha.install(half)
    # A first install needs no backup; to uninstall, or to install over it, does.
    await alpha.install(backup)
    with expect_error("io-error"):
        await alpha.uninstall(backup)
    expect_untouched(alpha, foreign, "an install, an uninstall and a removal")

    await alpha.restart()
    expect_untouched(alpha, foreign, "a kill and a restart")
    for game in foreign:
        view = (await alpha.list_games("local"))[game.id]
        expect_equal(view.availability, "ready", f"{game.id} is shared all the same")
        expect_equal(view.installed, game is backup, f"{game.id}: only a whole local/ counts")

    await alpha.install(owned)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    for game in foreign:
        await bravo.download(game, wait=True)
        received = sorted(path.name for path in bravo.root(game).iterdir())
        expect_equal(received, ["quake.eti", "version.ini"], "none of it is given to others")


def expect_untouched(peer: Peer, games: list[Game], what: str) -> None:
    """Fail unless what is not a peer's is as it was."""
    for game, name in zip(games, FOREIGN, strict=True):
        left = {path.name: path.read_text() for path in (peer.root(game) / name).iterdir()}
        expect_equal(left, {"theirs": "precious"}, f"{name} is untouched by {what}")
