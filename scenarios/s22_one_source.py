"""One source: byte-identical files, sentinel last, then `ready` and a source itself."""

from lanspread_harness import (
    MIB,
    SENTINEL,
    Bytes,
    Game,
    Lab,
    Noise,
    Peer,
    expect,
    expect_equal,
    expect_same_game,
)


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake",
        {
            "quake.eti": Noise(24 * MIB + 1),
            "quake.part2.eti": Noise(5 * MIB),
            "docs/read me.txt": Bytes(b"Have fun\n"),
            "docs/empty": Bytes(b""),
        },
    )
    alpha = await lab.peer("alpha", games=[game])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    expect_sentinel_last(bravo, game)
    finished = await bravo.event("download-finished", game_id=game.id)
    progress = bravo.events("download-progress", game_id=game.id)
    expect(all(r.seq < finished.seq for r in progress), "no progress after the end")
    expect_equal(finished.data.integer("bytes"), game.size, "all bytes are counted")
    local = (await bravo.list_games("local"))[game.id]
    expect_equal(local.availability, "ready", "what was downloaded is ready")
    expect_equal(local.version, game.version, "at the catalog's version")

    await alpha.shutdown()
    await alpha.exited()
    charlie = await lab.peer("charlie")
    await charlie.connect(bravo)
    await charlie.download(game, wait=True)
    await expect_same_game(game, bravo, charlie)


def expect_sentinel_last(peer: Peer, game: Game) -> None:
    """A rename changes the time of its file's entry, so the sentinel's is the time it appeared."""
    root = peer.root(game)
    appeared_ns = (root / SENTINEL).stat().st_ctime_ns
    written_ns = {
        path.name: path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.name != SENTINEL
    }
    late = [name for name, time_ns in written_ns.items() if time_ns > appeared_ns]
    expect(not late, "the sentinel appears after the last byte is written", late)
