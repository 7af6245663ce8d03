"""What does not fit is refused before anything is touched; what a failure left can be freed."""

import asyncio
import re

from lanspread_harness import (
    MIB,
    SENTINEL,
    Game,
    Lab,
    Meta,
    Need,
    Noise,
    Peer,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
    tree_digest,
)

META = Meta(needs=frozenset({Need.DISKS}), expected_s=8)

DISK_MIB = 64
GAME_MIB = 40
"""One fits on the disk, two do not."""

SMALL_MIB = 16
"""Fits beside what another download still needs."""

SLACK_MIB = 2
"""For what a peer keeps beside the games."""


async def scenario(lab: Lab) -> None:
    quake = lab.game("quake", {"quake.eti": Noise(GAME_MIB * MIB)})
    doom = lab.game("doom", {"doom.eti": Noise(GAME_MIB * MIB)})
    small = lab.game("heretic", {"heretic.eti": Noise(SMALL_MIB * MIB)})
    alpha = await lab.peer("alpha", games=[quake, doom, small], upload_limit="16MiB")
    bravo = await lab.peer("bravo", disk_mib=DISK_MIB, start=False)
    old = bravo.root(quake)
    old.mkdir(parents=True)
    (old / SENTINEL).write_text("19990101\n")
    (old / "quake.eti").write_bytes(b"an old version")
    before = tree_digest(bravo.games_dir, without=())
    await bravo.start()
    await bravo.connect(alpha)
    await alpha.hashed(quake)
    disk = lab.disks[bravo.name]

    lab.note("refused before the first byte")
    used_before = disk.used_bytes()
    async with lab.disk_full(bravo, free_bytes=GAME_MIB * MIB - MIB):
        for fetch in (bravo.update, bravo.download):
            mark = bravo.mark()
            with expect_error("disk-full"):
                await fetch(quake, wait=True)
            failed = await bravo.event("download-failed", game_id=quake.id, since=mark)
            message = failed.data.child("error").text("message")
            figures = [int(word) for word in re.findall(r"\d+", message)]
            expect(
                any(figure >= (GAME_MIB - 1) * MIB for figure in figures),
                "the message says how much is needed",
                message,
            )
            expect("games" in message, "and where", message)
        expect_equal(bravo.events("download-begin"), [], "nothing began")
        after = tree_digest(bravo.games_dir, without=())
        expect_equal(after, before, "the old version is there")
        expect(disk.used_bytes() - used_before < MIB, "and nothing else is", disk.used_bytes())

    lab.note("what a running download still needs is not promised twice")
    mark = bravo.mark()
    running = asyncio.create_task(bravo.download(doom, wait=True))
    await bravo.event("download-begin", game_id=doom.id, since=mark)
    with expect_error("disk-full"):
        await bravo.download(quake, wait=True)
    await bravo.download(small, wait=True)
    expect_equal(bravo.events("download-failed", game_id=doom.id), [], "the first one goes on")
    await running
    await expect_same_game(doom, alpha, bravo)
    await bravo.remove_download(doom)

    lab.note("what a failed download left is told, survives a restart and can be freed")
    free_before = disk.used_bytes()
    await fail_mid_way(lab, bravo, doom)
    await bravo.restart()
    await bravo.connect(alpha)
    left = (await bravo.list_games("local"))[doom.id].partial_bytes
    expect(left is not None and left > MIB, "it is told", left)
    local = bravo.root(doom) / "local"
    local.mkdir()
    (local / "save.dat").write_bytes(b"level 7")
    with expect_error("disk-full"):
        await bravo.download(quake, wait=True)
    await bravo.remove_download(doom)
    expect_equal((local / "save.dat").read_bytes(), b"level 7", "an installation stays")
    expect(disk.used_bytes() - free_before < SLACK_MIB * MIB, "its room is free again", left)
    listed = (await bravo.list_games("all"))[doom.id]
    expect_equal(listed.partial_bytes, None, "nothing is left of it")
    with expect_error("still-installed"):
        await bravo.remove_download(doom)
    await bravo.remove_download(small)
    await bravo.download(quake, wait=True)
    await expect_same_game(quake, alpha, bravo)


async def fail_mid_way(lab: Lab, bravo: Peer, game: Game) -> None:
    """Begin a download and let something else fill the disk."""
    mark = bravo.mark()
    downloading = asyncio.create_task(bravo.download(game, wait=True))
    await bravo.event(
        "download-progress",
        game_id=game.id,
        where=lambda data: data.integer("bytes_done") > GAME_MIB * MIB // 4,
        since=mark,
    )
    async with lab.disk_full(bravo, free_bytes=MIB):
        with expect_error("disk-full"):
            await downloading
