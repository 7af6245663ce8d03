"""Update with install replaces `local/` whole; a failing unpack brings the old one back."""

from dataclasses import replace

from lanspread_harness import (
    MIB,
    Bytes,
    Game,
    Lab,
    Noise,
    Peer,
    expect_equal,
    expect_error,
    expect_same_game,
    tree_digest,
)

OLD_VERSION = "20230101"
ENTRIES = {"bin/game.exe": 2 * MIB, "data/map.bsp": 70_000}


async def scenario(lab: Lab) -> None:
    archive = await lab.rar("whole", ENTRIES)
    # Cut off within the last entry, so that the first one is unpacked before it fails.
    cut = Bytes(archive.source.read_bytes()[:-30_000])
    whole = lab.game("whole", {"whole.eti": archive})
    broken = lab.game("broken", {"broken.eti": cut})
    alpha = await lab.peer("alpha", games=[whole, broken])
    bravo = await lab.peer("bravo", games=map(outdated, (whole, broken)), start=False)
    for game in (whole, broken):
        local = bravo.root(game) / "local"
        local.mkdir()
        (local / "save.dat").write_bytes(b"level 7")
        (local / "only in the old version").write_bytes(b"")
    before = tree_digest(bravo.root(broken) / "local", without=())
    await bravo.start()
    await bravo.connect(alpha)

    await bravo.update(whole, install=True, wait=True)
    await bravo.event("install-finished", game_id=whole.id)
    await expect_same_game(whole, alpha, bravo)
    local = bravo.root(whole) / "local"
    sizes = {
        path.relative_to(local).as_posix(): path.stat().st_size
        for path in local.rglob("*")
        if path.is_file()
    }
    expect_equal(sizes, ENTRIES, "local/ holds the new version and nothing of the old one")

    with expect_error("bad-archive"):
        await bravo.update(broken, install=True, wait=True)
    await bravo.event("install-failed", game_id=broken.id)
    await expect_same_game(broken, alpha, bravo)
    after = tree_digest(bravo.root(broken) / "local", without=())
    expect_equal(after, before, "the old local/ is back, to the byte")

    for game in (whole, broken):
        await expect_settled(bravo, game)


def outdated(game: Game) -> Game:
    """The game as it was a version before."""
    return replace(game, version=OLD_VERSION, files={f"{game.id}.eti": Noise(MIB)})


async def expect_settled(peer: Peer, game: Game) -> None:
    """The game is ready and installed, and nothing of the transaction is left."""
    view = (await peer.list_games("local"))[game.id]
    expect_equal(
        (view.availability, view.installed, view.operation),
        ("ready", True, None),
        f"{game.id} is ready, installed and idle",
    )
    transient = [path.name for path in peer.root(game).glob(".local.*")]
    expect_equal(transient, [], f"{game.id}: no transient directory is left")
