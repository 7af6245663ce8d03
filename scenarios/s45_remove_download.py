"""Remove-download refuses what is installed, busy, outside the catalog or not downloaded.

Anything else it deletes with all that is in its root, but follows no link out of it.
"""

from lanspread_harness import (
    MIB,
    SENTINEL,
    Game,
    Lab,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    tree_digest,
)

OPERATION_EVENTS = ("remove-begin", "remove-finished", "remove-failed")


async def scenario(lab: Lab) -> None:
    lab.expects("is neither a file nor a directory of its own and is passed over")
    archive = await lab.rar("installed", {"bin/game.exe": 1000})
    installed = lab.game("installed", {"installed.eti": archive})
    busy = lab.game("busy", {"busy.eti": Sparse(2048 * MIB)})
    plain = lab.game("plain")
    bare = lab.game("bare")
    nested = lab.game("nested")
    linked = lab.game("linked")
    outside = lab.game("outside", catalog=False)

    seed = await lab.peer("seed", games=[busy])
    alpha = await lab.peer("alpha", games=[installed, plain, outside], start=False)
    bare.write(alpha.games_dir, sentinel=None)
    nested.write(alpha.games_dir, sentinel=f"sub/{SENTINEL}")
    target = linked.write(lab.scratch)
    alpha.root(linked).symlink_to(target)
    # A link that is part of the game would keep it from being announced.
    (alpha.root(plain) / ".sync").mkdir()
    (alpha.root(plain) / ".sync" / "way out").symlink_to(target)
    await alpha.start()
    await alpha.connect(seed)
    await alpha.install(installed)
    await alpha.download(busy)
    await alpha.event("download-progress", game_id=busy.id)

    for game, code in (
        (installed, "still-installed"),
        (busy, "game-busy"),
        (bare, "not-downloaded"),
        (nested, "not-downloaded"),
        (linked, "not-downloaded"),
        (outside, "unknown-game"),
    ):
        await expect_refused(alpha, game, code)
    with expect_error("invalid-params"):
        await alpha.remove_download("..")
    expect(alpha.root(linked).is_symlink(), "a link in place of a root stays")
    await alpha.cancel_download(busy)

    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    before = bravo.mark()
    outside_before = tree_digest(target)
    await alpha.remove_download(plain)
    await alpha.event("remove-begin", game_id=plain.id)
    await alpha.event("remove-finished", game_id=plain.id)
    expect(not alpha.root(plain).exists(), "the root is gone")
    expect_equal(tree_digest(target), outside_before, "what a link led to is untouched")
    expect(plain.id not in await alpha.list_games("local"), "the game is not listed any more")
    expect_equal((await alpha.status()).active_operations, 0, "no operation is active")
    await bravo.event("games-list-updated", changed=[plain.id], since=before)
    expect(plain.id not in await bravo.list_games("remote"), "nor do others list it")
    with expect_error("not-downloaded"):
        await alpha.remove_download(plain)

    await alpha.uninstall(installed)
    await alpha.remove_download(installed)
    expect(not alpha.root(installed).exists(), "what is uninstalled can be removed")


async def expect_refused(peer: Peer, game: Game, code: str) -> None:
    """A refusal comes before anything happens: no event, and every file is still there."""
    before, files = peer.mark(), set(peer.root(game).rglob("*"))
    with expect_error(code):
        await peer.remove_download(game)
    seen = [event for name in OPERATION_EVENTS for event in peer.events(name, since=before)]
    expect_equal(seen, [], f"{game.id}: the refusal is the only answer")
    expect_equal(set(peer.root(game).rglob("*")), files, f"{game.id}: every file is still there")
