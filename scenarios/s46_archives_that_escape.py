"""Archives that escape (`..`, absolute, links, Windows names): refused, nothing gets outside."""

from pathlib import Path

from lanspread_harness import (
    Bytes,
    CopyOf,
    Game,
    Lab,
    Peer,
    Rar5Entry,
    expect,
    expect_equal,
    expect_error,
    rar5,
    tree_digest,
)

NAMES = {
    "up": "../escaped.txt",
    "updeep": "a/b/../../../escaped.txt",
    "absolute": "/escaped.txt",
    "backslash": "..\\escaped.txt",
    "drive": "C:\\escaped.txt",
    "share": "\\\\host\\share\\escaped.txt",
    "device": "aux.txt",
    "stream": "a.txt:hidden",
    "dot": "trailing.",
    "control": "a\nb",
}

FINE = Rar5Entry("fine.txt", b"fine")

DATA = Path(__file__).parents[1] / "crates/lanspread-archive/tests/data"
# Made by RAR itself.
LINKS = {
    "symlink": "rar5-symlink-unix.rar",
    "oldsymlink": "rar3-symlink-unix.rar",
    "winsymlink": "rar5-symlink-win.rar",
    "traversal": "rar5-evil-symlink-traversal.rar",
}


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    games = [
        lab.game(game_id, {f"{game_id}.eti": Bytes(rar5([FINE, Rar5Entry(name, b"evil")]))})
        for game_id, name in NAMES.items()
    ]
    games += [
        lab.game(game_id, {f"{game_id}.eti": CopyOf(DATA / name)})
        for game_id, name in LINKS.items()
    ]
    # That the names alone are the reason: the same archive with a plain name installs.
    plain = lab.game("plain", {"plain.eti": Bytes(rar5([FINE]))})
    alpha = await lab.peer("alpha", games=[*games, plain])
    bravo = await lab.peer("bravo")
    charlie = await lab.peer("charlie", games=games)
    await bravo.connect(alpha)
    await charlie.connect(alpha)
    outside = everything_but(lab, games)

    for game in games:
        with expect_error("unsafe-archive"):
            await bravo.stream_install(game, wait=True)
        expect(not bravo.root(game).exists(), f"{game.id}: no root is left", bravo.root(game))
        with expect_error("unsafe-archive"):
            await charlie.install(game)
        expect_no_local(charlie, game)
    expect_equal(everything_but(lab, games), outside, "nothing was written outside the roots")
    expect(not Path("/escaped.txt").exists(), "nothing was written to /")

    await bravo.stream_install(plain, wait=True)
    installed = tree_digest(bravo.root(plain), without=())
    expect_equal(list(installed), ["local/fine.txt"], "a plain archive of the same maker installs")


def expect_no_local(peer: Peer, game: Game) -> None:
    names = {path.name for path in peer.root(game).iterdir()}
    expect_equal(names, {f"{game.id}.eti", "version.ini"}, f"{game.id}: only the download is there")


def everything_but(lab: Lab, games: list[Game]) -> list[str]:
    """Every path below the peers' directories but the roots of these games and what peers note."""
    own = {game.id for game in games} | {"state"}
    names = (path.relative_to(lab.peers_dir) for path in lab.peers_dir.rglob("*"))
    return sorted(str(name) for name in names if not own & set(name.parts))
