"""Verify names what is wrong with a copy, and with repair fetches that and nothing else.

The reference is what the sources have; without any it is what the peer itself read the last time,
and verify says so. A verification is cancelled; what is installed belongs to the user.
"""

import os
from pathlib import Path

from lanspread_harness import (
    MIB,
    Bytes,
    Fields,
    Lab,
    Meta,
    Noise,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(timeout_s=120)

CHUNK = 2 * MIB


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake",
        {
            "quake.eti": Noise(10 * MIB),
            "cfg/server.cfg": Bytes(b"port=1234"),
            "maps/one.map": Noise(1000),
        },
    )
    big = lab.game("big", {"big.eti": Sparse(1024 * MIB)})
    alpha, bravo = await lab.sources("alpha", "bravo", game=game)
    for peer in (alpha, bravo):
        await peer.hashed(game)
    await bravo.connect(alpha)
    root = bravo.root(game)

    whole = await bravo.verify(game, wait=True)
    expect_equal(found(whole), ("sources", []), "a copy that is right has no problems")

    lab.note("files are damaged, cut short, removed and added")
    (root / "local").mkdir()
    (root / "local" / "save.dat").write_bytes(b"mine")
    damage(root / "quake.eti", at=5 * MIB)
    (root / "maps" / "one.map").write_bytes(b"short")
    (root / "cfg" / "server.cfg").unlink()
    (root / "cfg" / "extra.cfg").write_bytes(b"mine as well")
    wrong = [
        ("cfg/extra.cfg", "extra"),
        ("cfg/server.cfg", "missing"),
        ("maps/one.map", "size"),
        ("quake.eti", "content"),
    ]
    before = bravo.mark()
    report = await bravo.verify(game, wait=True)
    expect_equal(found(report), ("sources", wrong), "verify names each of them")
    finished = await bravo.event("verify-finished", game_id=game.id, since=before)
    expect_equal(found(finished.data), ("sources", wrong), "and so does its event")
    expect(not report.flag("repaired"), "nothing is fetched unasked")

    before = bravo.mark()
    repaired = await bravo.verify(game, repair=True, wait=True)
    expect(repaired.flag("repaired"), "it is repaired")
    ended = await bravo.event("download-finished", game_id=game.id, since=before)
    given = sum(source.integer("bytes") for source in ended.data.children("sources"))
    expect(0 < given <= 2 * CHUNK, "only what was wrong is fetched", given)
    expect_equal((root / "local" / "save.dat").read_bytes(), b"mine", "local/ is left alone")
    await expect_same_game(game, alpha, bravo)
    expect_equal(found(await bravo.verify(game, wait=True)), ("sources", []), "all is right")
    with expect_error("up-to-date"):
        await bravo.update(game, wait=True)

    lab.note("update looks at the disk before it says that all is well")
    (root / "maps" / "one.map").write_bytes(b"x" * 1000)
    await bravo.update(game, wait=True)
    await expect_same_game(game, alpha, bravo)

    lab.note("without a source, verify tells what has changed and that it knows no better")
    await alpha.shutdown()
    await bravo.event("peer-lost", peer_id=alpha.peer_id)
    damage(root / "quake.eti", at=MIB)
    alone = await bravo.verify(game, wait=True)
    expect_equal(found(alone), ("index", [("quake.eti", "content")]), "the change shows")
    damage(root / "quake.eti", at=MIB)
    with expect_error("no-source"):
        damage(root / "quake.eti", at=3 * MIB)
        await bravo.verify(game, repair=True, wait=True)

    lab.note("a verification is cancelled")
    charlie = await lab.peer("charlie", games=[big])
    before = charlie.mark()
    await charlie.verify(big)
    with expect_error("game-busy"):
        await charlie.verify(big)
    view = (await charlie.list_games("local"))[big.id]
    expect_equal((view.operation, view.availability), ("verifying", "ready"), "it is served")
    await charlie.cancel_download(big)
    failed = await charlie.event("verify-failed", game_id=big.id, since=before)
    expect_equal(failed.data.child("error").text("code"), "cancelled", "it is told")
    view = (await charlie.list_games("local"))[big.id]
    expect_equal((view.operation, view.availability), (None, "ready"), "and nothing has changed")


def found(data: Fields) -> tuple[str, list[tuple[str, str]]]:
    """The reference of a verification, and what it found."""
    report = data.child("report")
    problems = report.children("problems")
    expect_equal(report.integer("problem_count"), len(problems), "all are told")
    listed = [(problem.text("path"), problem.text("reason")) for problem in problems]
    return report.text("reference"), listed


def damage(path: Path, *, at: int) -> None:
    """Flip a bit and leave size and times, as a failing disk does."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
