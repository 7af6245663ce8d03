"""`Thumbs.db` and its like, and the line end of `version.ini`, are no content of a game.

They come and go unnoticed, do not travel, make no game differ from the catalog, and no operation
removes them.
"""

from dataclasses import replace

from lanspread_harness import (
    MIB,
    SENTINEL,
    Bytes,
    Game,
    Lab,
    Meta,
    Noise,
    Peer,
    Sparse,
    expect,
    expect_equal,
    tree_digest,
)

META = Meta(expected_s=10)

FOREIGN = (
    "Thumbs.db",
    "cfg/DESKTOP.INI",
    "cfg/._server.cfg",
    "$RECYCLE.BIN/S-1-5/file",
    "maps/.DS_Store",
)
UPLOAD_LIMIT = "16MiB"
"""Of the source: a download takes a second, on a fast machine as well."""


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake",
        {"quake.eti": Sparse(16 * MIB), "cfg/server.cfg": Bytes(b"port=1"), "maps/a": Noise(5000)},
    )
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    root = await alpha.hashed(game)

    lab.note("a copy with files of the system has the content that the catalog states")
    stated = replace(game, content_root=root)
    bravo = await lab.peer("bravo", games=[stated], catalog=[stated], start=False)
    put_foreign(bravo, game)
    (bravo.root(game) / SENTINEL).write_bytes(f"{game.version}\r\n".encode())
    await bravo.start()
    expect_equal(await bravo.hashed(game), root, "its content is the same")
    await expect_ready(bravo, game)

    lab.note("it is whole, and they are neither problems nor repaired away")
    verified = await bravo.verify(game, wait=True)
    expect_equal(verified.child("report").integer("problem_count"), 0, "nothing is wrong with it")
    expect_foreign(bravo, game)

    lab.note("they do not travel")
    charlie = await lab.peer("charlie", catalog=[stated])
    await charlie.connect(bravo)
    await charlie.download(stated, wait=True)
    expect_equal(set(tree_digest(charlie.root(game))), {*game.files, SENTINEL}, "the game alone")

    lab.note("they come and go")
    put_foreign(charlie, game)
    expect_equal(await charlie.hashed(game), root, "its content stays")
    await charlie.restart()
    await expect_ready(charlie, game)
    for name in FOREIGN:
        (charlie.root(game) / name).unlink()
    await expect_ready(charlie, game)

    lab.note("an update, a cancelled download and a removal leave them")
    old = replace(game, version="20230101", files={"old/only.bin": Noise(MIB)})
    delta = await lab.peer("delta", games=[old], catalog=[game], start=False)
    put_foreign(delta, game)
    (delta.root(game) / "old" / "Thumbs.db").write_bytes(b"of the system")
    await delta.start()
    await delta.connect(alpha)
    await delta.update(game, wait=True)
    await expect_ready(delta, game)
    expect_foreign(delta, game)
    left = {path.name for path in (delta.root(game) / "old").iterdir()}
    expect_equal(left, {"Thumbs.db"}, "what the old version had is gone")
    for name in (*FOREIGN, "old/Thumbs.db"):
        (delta.root(game) / name).unlink()
    put_foreign(delta, game)
    await expect_removed(delta, game)
    before = delta.mark()
    await delta.download(game)
    await delta.downloaded(game, 0.2, since=before)
    await delta.cancel_download(game)
    await delta.event("download-cancelled", game_id=game.id, since=before)
    expect_foreign(delta, game)
    expect(not (delta.root(game) / "quake.eti").exists(), "what it brought is gone")


def put_foreign(peer: Peer, game: Game) -> None:
    """Leave files in a root as systems do."""
    for name in FOREIGN:
        path = peer.root(game) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"of the system")


def expect_foreign(peer: Peer, game: Game) -> None:
    """All of them are still there."""
    missing = [name for name in FOREIGN if not (peer.root(game) / name).is_file()]
    expect_equal(missing, [], f"{peer.name} keeps what the system left")


async def expect_ready(peer: Peer, game: Game) -> None:
    """The game is ready, and nothing is wrong with it."""
    listed = (await peer.list_games("local"))[game.id]
    expect_equal(listed.availability, "ready", f"{peer.name} shares the game")


async def expect_removed(peer: Peer, game: Game) -> None:
    """A removal takes all but what the system left, and says that the root stays."""
    before = peer.mark()
    await peer.remove_download(game)
    removed = await peer.event("remove-finished", game_id=game.id, since=before)
    expect_equal(removed.data.text("kept"), str(peer.root(game)), "the root is told to stay")
    files = {path for path in peer.root(game).rglob("*") if path.is_file()}
    expect_equal(files, {peer.root(game) / name for name in FOREIGN}, "and nothing else does")
