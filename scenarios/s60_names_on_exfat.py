"""On a disk that ignores letter case no file is lost; what it cannot hold is refused untouched."""

from dataclasses import replace

from lanspread_harness import (
    MIB,
    Bytes,
    CommandError,
    Game,
    Lab,
    Meta,
    Need,
    Noise,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
    tree_digest,
)

META = Meta(needs=frozenset({Need.EXFAT}), expected_s=15)

EXFAT_MIB = 128
UPLOAD_LIMIT = "16MiB"
"""Of the source: a download takes two seconds, on a fast machine as well."""

OLD_VERSION = "20230101"


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake",
        {
            "quake.eti": Sparse(32 * MIB),
            "data.pak": Noise(MIB + 1),
            "docs/Read Me.txt": Bytes(b"new\n"),
            "maps/deep/e1m1.bsp": Noise(5000),
            "saves/x": Bytes(b"x"),
        },
    )
    old = replace(
        game,
        version=OLD_VERSION,
        seed=game.seed + 1,
        files={
            "Quake.eti": Sparse(3 * MIB),
            "DATA.PAK": Noise(9000),
            "Docs/READ ME.TXT": Bytes(b"old\n"),
            "MAPS/Deep/E1M1.BSP": Noise(5000),
            "SAVES": Bytes(b"a file once"),
            "Only Old.txt": Bytes(b""),
        },
    )
    both = lab.game("both", {"both.eti": Noise(10), "d/A.txt": Bytes(b"A"), "d/a.txt": Bytes(b"a")})
    folders = lab.game("folders", {"Data/one": Bytes(b"1"), "data/two": Bytes(b"2")})
    archive = await lab.rar("packed", {"Readme.txt": 3, "README.TXT": 4})
    packed = lab.game("packed", {"packed.eti": archive})
    spelled = lab.game("spelled", {"spelled.eti": Noise(1000)})
    alpha = await lab.peer("alpha", games=[game, both, folders, packed], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo", games=[old], exfat_mib=EXFAT_MIB, start=False)
    root = spelled.write(bravo.games_dir)
    (root / "local").mkdir()
    for name, other in (("version.ini", "VERSION.INI"), ("local", "Local")):
        (root / name).rename(root / other)
    root.rename(root.with_name("Spelled"))
    await bravo.start()
    await bravo.connect(alpha)

    await expect_update(lab, game, alpha, bravo)
    await expect_cancelled(game, bravo)
    for clashing, *names in ((both, "d/A.txt", "d/a.txt"), (folders, "Data", "data")):
        await expect_refused(bravo, clashing, "download", *names)
        expect(not bravo.root(clashing).exists(), "nothing of it was made")
    await bravo.download(packed, wait=True)
    for command in ("install", "stream-install"):
        if command == "stream-install":
            await bravo.remove_download(packed)
        await expect_refused(bravo, packed, command, "Readme.txt", "README.TXT")
        expect(not (bravo.root(packed) / "local").exists(), "nothing is installed")
    expect_equal(bravo.events("source-dropped"), [], "no source is blamed for it")

    charlie = await lab.peer("charlie")
    await charlie.connect(alpha)
    for fine in (both, folders):
        await charlie.download(fine, wait=True)
        await expect_same_game(fine, alpha, charlie)
    await expect_spelled_root(spelled, bravo, charlie)
    leftovers = [path.name for path in bravo.games_dir.rglob(".lanspread*")]
    expect_equal(leftovers, [], "no probe is left")


async def expect_update(lab: Lab, game: Game, alpha: Peer, bravo: Peer) -> None:
    """An update that spells everything in another way, over a kill and a mount with new inodes."""
    await bravo.update(game)
    await bravo.downloaded(game, 0.3)
    await bravo.kill()
    await bravo.exited()
    await lab.exfat_disks[bravo.name].remount()
    await bravo.start()
    await bravo.connect(alpha)
    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    listed = (await bravo.list_games("local"))[game.id]
    expect_equal(
        (listed.version, listed.availability), (game.version, "ready"), "the new version is ready"
    )


async def expect_cancelled(game: Game, bravo: Peer) -> None:
    """A cancelled download leaves nothing, though FUSE keeps what is open under another name."""
    await bravo.remove_download(game)
    before = bravo.mark()
    await bravo.download(game)
    await bravo.downloaded(game, 0.3, since=before)
    await bravo.cancel_download(game)
    await bravo.event("download-cancelled", game_id=game.id, since=before)
    expect(not bravo.root(game).exists(), "the root is gone")


async def expect_refused(peer: Peer, game: Game, command: str, *names: str) -> None:
    """A command fails with `names-clash`, and its message has these names."""
    try:
        await peer.command(command, game_id=game.id, wait=True)
    except CommandError as error:
        expect_equal(error.code, "names-clash", f"{command} of {game.id} is refused")
        missing = [name for name in names if name not in error.message]
        expect_equal(missing, [], "the message names both")
    else:
        expect(condition=False, expectation=f"{command} of {game.id} is refused")


async def expect_spelled_root(game: Game, bravo: Peer, charlie: Peer) -> None:
    """A root in another spelling is that of the game, for its holder and for others."""
    listed = (await bravo.list_games("local"))[game.id]
    expect_equal(
        (listed.version, listed.installed, listed.availability),
        (game.version, True, "ready"),
        "a game in another spelling is downloaded and installed",
    )
    await charlie.connect(bravo)
    await bravo.hashed(game)
    await charlie.download(game, wait=True)
    expected = {"spelled.eti", "version.ini"}
    expect_equal(set(tree_digest(charlie.root(game))), expected, "it travels under its own names")
    await bravo.uninstall(game)
    expect(not (bravo.root(game) / "local").exists(), "it can be uninstalled")
    await bravo.remove_download(game)
    expect(not bravo.root(game).exists(), "and removed")
