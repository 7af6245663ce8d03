"""Disk full mid-download: a clear code, nothing else harmed, works once there is room."""

import asyncio

from lanspread_harness import (
    MIB,
    SENTINEL,
    Lab,
    Meta,
    Need,
    Noise,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
    tree_digest,
)

META = Meta(needs=frozenset({Need.DISKS}), expected_s=4)

GAME_MIB = 24
BEGUN_MIB = 8
"""Has arrived when something else fills the disk."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Noise(GAME_MIB * MIB), "docs/read me.txt": Noise(5)})
    other = lab.game("doom")
    alpha = await lab.peer("alpha", games=[game], upload_limit="16MiB")
    bravo = await lab.peer("bravo", games=[other], disk_mib=64)
    await bravo.connect(alpha)
    before = await asyncio.to_thread(tree_digest, bravo.games_dir)

    disk = lab.disks[bravo.name]
    used_before = disk.used_bytes()
    downloading = asyncio.create_task(bravo.download(game, wait=True))
    await bravo.event(
        "download-progress",
        game_id=game.id,
        where=lambda data: data.integer("bytes_done") >= BEGUN_MIB * MIB,
    )
    async with lab.disk_full(bravo, free_bytes=MIB):
        with expect_error("disk-full"):
            await downloading
        failed = await bravo.event("download-failed", game_id=game.id)
        expect_equal(failed.data.child("error").text("code"), "disk-full", "the event says why")
        written_bytes = disk.used_bytes() - used_before
        expect(written_bytes > BEGUN_MIB * MIB / 2, "it failed mid-way", written_bytes)
        expect(not (bravo.root(game) / SENTINEL).exists(), "nothing is committed")
        after = await asyncio.to_thread(tree_digest, bravo.games_dir, without=("local", game.id))
        expect_equal(after, before, "what was there before is as it was")
        expect_equal((await bravo.status()).active_operations, 0, "no operation is active")
        listed = (await bravo.list_games("local"))[game.id]
        expect(
            listed.partial_bytes is not None and listed.partial_bytes > BEGUN_MIB * MIB / 2,
            "what it left is told",
            listed.partial_bytes,
        )
        with expect_error("disk-full"):
            await bravo.download(game, wait=True)

    await bravo.download(game, wait=True)
    await expect_same_game(game, alpha, bravo)
    await bravo.event("download-finished", game_id=game.id)
