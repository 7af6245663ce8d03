"""A game that appears on disk, one that changes and one that vanishes reach the others.

Also one that is copied slowly, whose sentinel comes last, and the whole games directory, which is
taken away and brought back while the peer runs.
"""

import asyncio
import shutil
from pathlib import Path

from lanspread_harness import MIB, SENTINEL, Fields, Game, Lab, Meta, Peer, expect, expect_equal

META = Meta(timeout_s=90, cores=0.3)

STEP_BYTES = 64 * 1024


async def scenario(lab: Lab) -> None:
    lab.expects("cannot read games directory")
    quake, doom = lab.game("quake"), lab.game("doom")
    alpha = await lab.peer("alpha", games=[quake])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    expect_equal(await announced(bravo), [quake.id], "bravo knows what there was at the start")
    snapshot_rev = (await alpha.status()).library_rev

    lab.note("a game is copied slowly, its sentinel last")
    before = bravo.mark()
    doom.write(lab.scratch)
    archive = f"{doom.id}.eti"
    alpha.root(doom).mkdir()
    await asyncio.to_thread(copy_in_steps, lab.scratch / doom.id / archive, alpha.root(doom))
    expect_equal(bravo.events("games-list-updated", since=before), [], "half a game is none")
    shutil.copy(lab.scratch / doom.id / SENTINEL, alpha.root(doom))
    await wait_for_update(bravo, doom, since=before)
    expect_equal(await announced(bravo), [doom.id, quake.id], "the sentinel makes it a game")
    await bravo.download(doom, wait=True)

    lab.note("a game changes")
    before = bravo.mark()
    with (alpha.root(quake) / f"{quake.id}.eti").open("ab") as file:
        file.write(b"\0" * MIB)
    await wait_for_update(bravo, quake, since=before)
    size = (await bravo.list_games("remote"))[quake.id].size
    expect_equal(size, quake.size + MIB, "bravo knows its new size")

    lab.note("a game vanishes")
    before = bravo.mark()
    shutil.rmtree(alpha.root(doom))
    await wait_for_update(bravo, doom, since=before)
    expect_equal(await announced(bravo), [quake.id], "bravo no longer lists it")
    expect((await alpha.status()).library_rev > snapshot_rev, "each change has its revision")

    lab.note("the games directory goes and comes back")
    before = bravo.mark()
    aside = alpha.games_dir.with_name("aside")
    alpha.games_dir.rename(aside)
    await wait_for_update(bravo, quake, since=before)
    expect_equal(await announced(bravo), [], "nothing is announced without it")
    expect("its games are not shared" in alpha.stderr.read_text(), "alpha says what it cannot read")
    before = bravo.mark()
    aside.rename(alpha.games_dir)
    await wait_for_update(bravo, quake, since=before)
    expect_equal(await announced(bravo), [quake.id], "the library is back")
    before = bravo.mark()
    doom.write(alpha.games_dir)
    await wait_for_update(bravo, doom, since=before)


async def announced(peer: Peer) -> list[str]:
    """What others announce to it."""
    return sorted(await peer.list_games("remote"))


async def wait_for_update(peer: Peer, game: Game, *, since: int) -> None:
    """Wait until it hears that others hold a game otherwise than before."""

    def names_it(data: Fields) -> bool:
        return game.id in data.items("changed")

    await peer.event("games-list-updated", where=names_it, since=since)


def copy_in_steps(source: Path, directory: Path) -> None:
    """Copy a file so that it is seen growing."""
    with source.open("rb") as whole, (directory / source.name).open("wb", buffering=0) as copy:
        while step := whole.read(STEP_BYTES):
            copy.write(step)
