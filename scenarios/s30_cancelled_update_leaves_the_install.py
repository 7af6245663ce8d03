"""A cancelled update leaves `local/` untouched and the game local-only; updating again works."""

from dataclasses import replace

from lanspread_harness import (
    MIB,
    SENTINEL,
    Lab,
    Meta,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
    tree_digest,
)

META = Meta(expected_s=5, cores=0.4)

UPLOAD_LIMIT = "24MiB"
"""Of the source: the update takes four seconds, on a fast machine as well."""

OLD_VERSION = "20230101"
CANCEL_AT = 0.1
SAVED = b"level 7"


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    old = replace(game, version=OLD_VERSION, files={"quake.eti": Sparse(3 * MIB)})
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo", games=[old], start=False)
    local = bravo.root(game) / "local"
    (local / "bin").mkdir(parents=True)
    (local / "bin" / "save.dat").write_bytes(SAVED)
    installed = tree_digest(local, without=())
    await bravo.start()
    await bravo.connect(alpha)

    await bravo.update(game)
    updating = (await bravo.list_games("local"))[game.id]
    expect_equal(updating.operation, "updating", "the operation is told")
    await bravo.downloaded(game, CANCEL_AT)
    await bravo.cancel_download(game)
    await bravo.event("download-cancelled", game_id=game.id)

    expect_equal(tree_digest(local, without=()), installed, "local/ is untouched")
    left = sorted(path.name for path in bravo.root(game).iterdir())
    expect_equal(left, ["local"], "nothing else is left of either version")
    cancelled = (await bravo.list_games("local"))[game.id]
    expect_equal(
        (cancelled.availability, cancelled.installed, cancelled.downloaded),
        ("local_only", True, False),
        "the game can be played, and only here",
    )
    expect_equal((await bravo.status()).active_operations, 0, "no operation is active")

    await bravo.update(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    expect((bravo.root(game) / SENTINEL).is_file(), "the game is whole again")
    expect_equal(tree_digest(local, without=()), installed, "local/ is still untouched")
