"""An update to the catalog's new version: old and new bytes are never mixed in a finished game."""

from dataclasses import replace

from lanspread_harness import (
    MIB,
    SENTINEL,
    Bytes,
    Lab,
    Meta,
    Noise,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(expected_s=6, cores=0.4)

UPLOAD_LIMIT = "24MiB"
"""Of the source: the update takes four seconds, on a fast machine as well."""

OLD_VERSION = "20230101"
KILL_AT = 0.2


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake",
        {
            "quake.eti": Sparse(96 * MIB),
            "same name.eti": Noise(MIB),
            "docs/new.txt": Bytes(b"new\n"),
        },
    )
    old = replace(
        game,
        version=OLD_VERSION,
        seed=game.seed + 1,
        files={
            "quake.eti": Sparse(9 * MIB),
            "same name.eti": Noise(MIB),
            "docs/old.txt": Bytes(b"old\n"),
            "old/deep/file": Bytes(b""),
        },
    )
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo", games=[old])
    outdated = (await bravo.list_games("local"))[game.id]
    expect_equal(
        (outdated.version, outdated.availability),
        (OLD_VERSION, "local_only"),
        "the old version is no source",
    )
    await bravo.connect(alpha)

    await bravo.update(game)
    await bravo.downloaded(game, KILL_AT)
    expect(not (bravo.root(game) / SENTINEL).exists(), "no sentinel while the files are mixed")
    await bravo.restart()
    expect(not (bravo.root(game) / SENTINEL).exists(), "nor does a restart bring one back")
    listed = await bravo.list_games("local")
    expect(
        game.id not in listed or not listed[game.id].downloaded,
        "an update that was cut off does not count as downloaded",
    )

    await bravo.connect(alpha)
    await bravo.update(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    updated = (await bravo.list_games("local"))[game.id]
    expect_equal(
        (updated.version, updated.availability),
        (game.version, "ready"),
        "the new version is ready",
    )
    with expect_error("up-to-date"):
        await bravo.update(game)

    charlie = await lab.peer("charlie", games=[old])
    await charlie.connect(bravo)
    await charlie.download(game, wait=True)
    await expect_same_game(game, bravo, charlie)
