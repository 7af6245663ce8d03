"""A stream whose source dies, or with a wrong CRC, is rolled back; the old `local/` is intact."""

import asyncio

from lanspread_harness import (
    MIB,
    Bytes,
    Game,
    Lab,
    Meta,
    Peer,
    expect_equal,
    expect_error,
    tree_digest,
)
from lanspread_harness.errors import CommandError

META = Meta(expected_s=12, cores=0.5)

# Large enough to be killed in the middle of on any machine.
SIZE = 256 * MIB


async def scenario(lab: Lab) -> None:
    archive = await lab.rar("large", {"pak0.pk3": SIZE})
    small = (await lab.rar("small", {"a.dat": 3 * MIB, "b.dat": 2 * MIB})).source.read_bytes()
    flipped = bytearray(small)
    flipped[-MIB] ^= 1
    large = lab.game("large", {"large.eti": archive})
    wrong = lab.game("wrong", {"wrong.eti": Bytes(bytes(flipped))})
    alpha = await lab.peer("alpha", games=[large, wrong])
    bravo = await lab.peer("bravo", start=False)
    for game in (large, wrong):
        local = bravo.root(game) / "local"
        local.mkdir(parents=True)
        (local / "save.dat").write_bytes(b"level 7")
    before = {game.id: tree_digest(bravo.root(game), without=()) for game in (large, wrong)}
    await bravo.start()
    await bravo.connect(alpha)

    with expect_error("bad-archive"):
        await bravo.stream_install(wrong, wait=True)
    await expect_untouched(bravo, wrong, before)

    streaming = asyncio.create_task(bravo.stream_install(large, wait=True))
    await bravo.event(
        "stream-install-progress",
        game_id=large.id,
        where=lambda data: data.integer("bytes_done") > SIZE // 10,
    )
    await alpha.kill()
    try:
        with expect_error("source-failed"):
            await streaming
    except CommandError:
        streaming.cancel()
        raise
    failed = await bravo.event("stream-install-failed", game_id=large.id)
    expect_equal(failed.data.child("error").text("code"), "source-failed", "the event says so too")
    await expect_untouched(bravo, large, before)

    # Receiver killed: the next start finds the old local/ and clears the rest away.
    await alpha.start()
    await bravo.connect(alpha)
    mark = bravo.mark()
    await bravo.stream_install(large)
    await bravo.event("stream-install-progress", game_id=large.id, since=mark)
    await bravo.kill()
    await bravo.start()
    await expect_untouched(bravo, large, before)

    await bravo.connect(alpha)
    await bravo.stream_install(large, wait=True)
    sizes = {path.name: path.stat().st_size for path in (bravo.root(large) / "local").iterdir()}
    expect_equal(sizes, {"pak0.pk3": SIZE}, "it installs once the source holds")


async def expect_untouched(peer: Peer, game: Game, before: dict[str, dict[str, str]]) -> None:
    """The old installation is there to the byte, and nothing beside it."""
    after = tree_digest(peer.root(game), without=())
    expect_equal(after, before[game.id], f"{game.id}: the old local/ is there, and nothing else")
    view = (await peer.list_games("local"))[game.id]
    expect_equal((view.installed, view.operation), (True, None), f"{game.id} is idle")
    names = sorted(path.name for path in peer.root(game).iterdir())
    expect_equal(names, ["local"], f"{game.id}: nothing transient is left")
    intents = list(peer.options.state_dir.glob(f"games/{game.id}/install_intent.json"))
    expect_equal(intents, [], f"{game.id}: no intent is left")
