"""Stream-install on a small disk: the game and no archive must fit; full mid-way is rolled back."""

import asyncio

from lanspread_harness import (
    MIB,
    Game,
    Lab,
    Meta,
    Need,
    Peer,
    expect,
    expect_equal,
    expect_error,
    tree_digest,
)
from lanspread_harness.faults.disks import Disk

META = Meta(needs=frozenset({Need.DISKS}), expected_s=12)

SIZE = 48 * MIB
DISK_MIB = 64
"""Room for the game, and not for its archive as well."""

PEAK = 1.05
"""Most that the disk may hold at any moment, as a multiple of the installed size."""

POLL_S = 0.02
"""Between two looks at the disk, which is in memory: what is used is known at once."""


async def scenario(lab: Lab) -> None:
    archive = await lab.rar("quake", {"pak0.pk3": SIZE - 3, "dir/read me.txt": 3})
    game = lab.game("quake", {"quake.eti": archive})
    alpha = await lab.peer("alpha", games=[game], upload_limit="16MiB")
    bravo = await lab.peer("bravo", disk_mib=DISK_MIB, start=False)
    local = bravo.root(game) / "local"
    local.mkdir(parents=True)
    (local / "save.dat").write_bytes(b"level 7")
    before = tree_digest(bravo.root(game), without=())
    await bravo.start()
    await bravo.connect(alpha)
    disk = lab.disks[bravo.name]
    used_before = disk.used_bytes()

    async with lab.disk_full(bravo, free_bytes=SIZE - MIB):
        with expect_error("disk-full"):
            await bravo.stream_install(game, wait=True)
    expect_equal(bravo.events("stream-install-begin"), [], "it is refused before the first byte")
    await expect_untouched(bravo, game, before)

    mark = bravo.mark()
    streaming = asyncio.create_task(bravo.stream_install(game, wait=True))
    await bravo.event(
        "stream-install-progress",
        game_id=game.id,
        where=lambda data: data.integer("bytes_done") > SIZE // 10,
        since=mark,
    )
    async with lab.disk_full(bravo, free_bytes=MIB):
        with expect_error("disk-full"):
            await streaming
        failed = await bravo.event("stream-install-failed", game_id=game.id, since=mark)
        expect_equal(failed.data.child("error").text("code"), "disk-full", "the event says why")
        await expect_untouched(bravo, game, before)
    dropped = bravo.events("source-dropped", game_id=game.id)
    expect_equal(dropped, [], "no source is blamed for it")

    peak = await peak_while(disk, bravo, game) - used_before
    lab.figure(f"peak disk {peak / SIZE:.3f} x the installed size")
    expect(peak <= PEAK * SIZE, "the disk never holds more than the game", peak)
    sizes = sorted(path.stat().st_size for path in local.rglob("*") if path.is_file())
    expect_equal(sizes, [3, SIZE - 3], "it is installed once there is room")


async def peak_while(disk: Disk, bravo: Peer, game: Game) -> int:
    """Install; the most bytes that the disk held meanwhile."""
    streaming = asyncio.create_task(bravo.stream_install(game, wait=True))
    peak = disk.used_bytes()
    while not streaming.done():
        await asyncio.wait([streaming], timeout=POLL_S)
        peak = max(peak, disk.used_bytes())
    await streaming
    return peak


async def expect_untouched(peer: Peer, game: Game, before: dict[str, str]) -> None:
    """The old installation is there to the byte, and nothing beside it."""
    after = tree_digest(peer.root(game), without=())
    expect_equal(after, before, "the old local/ is there, and nothing else")
    names = sorted(path.name for path in peer.root(game).iterdir())
    expect_equal(names, ["local"], "nothing transient is left")
    intents = list(peer.options.state_dir.glob(f"games/{game.id}/install_intent.json"))
    expect_equal(intents, [], "no intent is left")
    expect_equal((await peer.status()).active_operations, 0, "no operation is active")
