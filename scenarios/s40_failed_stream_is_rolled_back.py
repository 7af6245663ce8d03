"""A stream-install that fails has a clear code; the old `local/` is there, and nothing else."""

import asyncio
from pathlib import Path

from lanspread_harness import (
    MIB,
    Bytes,
    CopyOf,
    Fields,
    Game,
    Lab,
    Meta,
    Peer,
    expect,
    expect_equal,
    expect_error,
    tree_digest,
)
from lanspread_harness.errors import CommandError

META = Meta(expected_s=15, cores=0.3)

# Large enough to be killed or cancelled in the middle of on any machine.
SIZE = 256 * MIB

DATA = Path(__file__).parents[1] / "crates/lanspread-archive/tests/data"
# Made by RAR itself; with the words that tell a person what is wrong.
REAL = {
    "secret": ("rar5-psw.rar", "password-protected", "protected by a password"),
    "hidden": ("rar5-hpsw.rar", "password-protected", "protected by a password"),
    "volume": ("rar5-vols.part1.rar", "missing-volume", "is missing"),
    "link": ("rar5-evil-symlink-traversal.rar", "unsafe-archive", "symbolic link"),
    "cut": ("rar5-crc.rar", "bad-archive", "ends too early"),
}


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    archive = await lab.rar("large", {"pak0.pk3": SIZE})
    large = lab.game("large", {"large.eti": archive})
    small = (await lab.rar("small", {"a.dat": 3 * MIB, "b.dat": 2 * MIB})).source.read_bytes()
    flipped = bytearray(small)
    flipped[-MIB] ^= 1
    wrong = lab.game("wrong", {"wrong.eti": Bytes(bytes(flipped))})
    bad = [(wrong, "bad-archive", "checksum is wrong")]
    for game_id, (name, code, words) in REAL.items():
        whole = (DATA / name).read_bytes()
        content = Bytes(whole[:-100]) if game_id == "cut" else CopyOf(DATA / name)
        bad.append((lab.game(game_id, {f"{game_id}.part1.eti": content}), code, words))
    games = [large, *(game for game, _, _ in bad)]
    alpha = await lab.peer("alpha", games=games)
    bravo = await lab.peer("bravo", start=False)
    for game in games:
        local = bravo.root(game) / "local"
        local.mkdir(parents=True)
        (local / "save.dat").write_bytes(b"level 7")
    before = {game.id: tree_digest(bravo.root(game), without=()) for game in games}
    await bravo.start()
    await bravo.connect(alpha)

    for game, code, words in bad:
        with expect_error(code):
            await bravo.stream_install(game, wait=True)
        message = (await failed(bravo, game, code)).text("message")
        expect(words in message, f"{game.id}: the message says what is wrong", message)
        expect(str(alpha.games_dir) not in message, "where it lies there is not told", message)
        await expect_untouched(bravo, game, before)

    await cancelled(bravo, large)
    await expect_untouched(bravo, large, before)

    await source_killed(alpha, bravo, large)
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


async def cancelled(bravo: Peer, large: Game) -> None:
    streaming = asyncio.create_task(bravo.stream_install(large, wait=True))
    await under_way(bravo, large)
    await bravo.cancel_download(large)
    await refused(streaming, "cancelled")
    await failed(bravo, large, "cancelled")


async def source_killed(alpha: Peer, bravo: Peer, large: Game) -> None:
    mark = bravo.mark()
    streaming = asyncio.create_task(bravo.stream_install(large, wait=True))
    await under_way(bravo, large, mark)
    await alpha.kill()
    await refused(streaming, "source-failed")
    await failed(bravo, large, "source-failed", mark)


async def under_way(peer: Peer, game: Game, since: int = 0) -> None:
    """Wait until a tenth of the game has come."""
    await peer.event(
        "stream-install-progress",
        game_id=game.id,
        where=lambda data: data.integer("bytes_done") > SIZE // 10,
        since=since,
    )


async def refused(streaming: asyncio.Task[object], code: str) -> None:
    """The answer of a stream-install that waits."""
    try:
        with expect_error(code):
            await streaming
    except CommandError:
        streaming.cancel()
        raise


async def failed(peer: Peer, game: Game, code: str, since: int = 0) -> Fields:
    """The event says the same as the answer."""
    event = await peer.event("stream-install-failed", game_id=game.id, since=since)
    error = event.data.child("error")
    expect_equal(error.text("code"), code, f"{game.id}: the event has the code of the answer")
    return error


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
    expect_equal((await peer.status()).active_operations, 0, "no operation is active")
