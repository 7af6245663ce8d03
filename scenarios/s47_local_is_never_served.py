"""`local/` is never served: not listed in any manifest, not counted, not transferred.

That a peer which asks for it by name is refused is proved beside the server's code, with requests
that no honest peer makes.
"""

from lanspread_harness import (
    MIB,
    SENTINEL,
    Bytes,
    Fields,
    Lab,
    Noise,
    Peer,
    expect_equal,
    expect_same_game,
)

PRIVATE = (
    "local/save.dat",
    "local/version.ini",
    "local/deep/er/file",
    ".local.backup/save.dat",
    ".local.installing/half",
    ".sync/state",
    ".lanspread.json",
    ".version.ini.discarded",
    ".softlan_game_installed",
)


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Noise(5 * MIB), "docs/local/public": Bytes(b"shared")})
    alpha = await lab.peer("alpha", games=[game], start=False)
    for name in PRIVATE:
        path = alpha.root(game) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    await alpha.start()
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    public = sorted(game.files)
    for peer in (alpha, bravo):
        manifest = await manifest_of(peer, game.id)
        listed = sorted(file.text("path") for file in manifest.children("files"))
        expect_equal(listed, public, f"{peer.name} is told the game's own files alone")
        expect_equal(manifest.integer("total_size"), game.size, "and only their bytes count")

    await bravo.download(game, wait=True)
    root = bravo.root(game)
    received = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    expect_equal(received, sorted([*public, SENTINEL]), "only the game's own files are transferred")
    finished = await bravo.event("download-finished", game_id=game.id)
    given = sum(source.integer("bytes") for source in finished.data.children("sources"))
    expect_equal(given, game.size, "no other byte is given")

    # What is written to local/ while the game is shared stays private as well.
    (alpha.root(game) / "local" / "later").write_bytes(b"mine")
    charlie = await lab.peer("charlie")
    await charlie.connect(alpha)
    await charlie.download(game, wait=True)
    await expect_same_game(game, bravo, charlie)


async def manifest_of(peer: Peer, game_id: str) -> Fields:
    """The manifest as the peer tells it."""
    return (await peer.command("get-game", game_id=game_id)).child("manifest")
