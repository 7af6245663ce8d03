"""Who waits for a stream is told its place, cancels at once, and learns when its source dies."""

import asyncio

from lanspread_harness import MIB, Game, Lab, Meta, Peer, expect_equal, expect_error

META = Meta(expected_s=18, cores=0.3, peers=6)

SIZE = 64 * MIB
# Nobody has the game whole before the scenario ends: two streams at a time share this.
SLOWLY = "1MiB"


async def scenario(lab: Lab) -> None:
    lab.expects("did not send the game to its end", "nothing arrived for")
    archive = await lab.rar("quake", {"pak0.pk3": SIZE})
    game = lab.game("quake", {"quake.eti": archive})
    alpha = await lab.peer("alpha", games=[game], upload_limit=SLOWLY)
    served = [await lab.peer(name) for name in ("bravo", "charlie")]
    delta = await lab.peer("delta")
    echo = await lab.peer("echo")
    for peer in (*served, delta, echo):
        await peer.connect(alpha)
    for peer in served:
        await peer.stream_install(game)

    first = asyncio.create_task(delta.stream_install(game, wait=True))
    await waits(delta, game, 1)
    second = asyncio.create_task(echo.stream_install(game, wait=True))
    await waits(echo, game, 2)

    await delta.cancel_download(game)
    await refused(first, "cancelled")
    await expect_nothing(delta, game)
    # Both streams still run: nobody's turn has come, so it was not that which ended the wait.
    for peer in served:
        expect_equal(peer.events("stream-install-finished"), [], f"{peer.name} still receives")
        expect_equal(peer.events("stream-install-failed"), [], f"{peer.name} still receives")
    await waits(echo, game, 1)

    await alpha.kill()
    await refused(second, "source-failed")
    await expect_nothing(echo, game)
    for peer in served:
        event = await peer.event("stream-install-failed", game_id=game.id)
        code = event.data.child("error").text("code")
        expect_equal(code, "source-failed", f"{peer.name} learns of it as well")
        await expect_nothing(peer, game)

    foxtrot = await lab.peer("foxtrot", games=[game])
    for peer in (delta, echo):
        await peer.connect(foxtrot)
        await peer.stream_install(game, wait=True)


async def waits(peer: Peer, game: Game, position: int) -> None:
    """Wait until the peer is told that so many come before it."""
    await peer.event("stream-install-waiting", game_id=game.id, position=position)


async def refused(streaming: asyncio.Task[object], code: str) -> None:
    """The answer of a stream-install that waits."""
    with expect_error(code):
        await streaming


async def expect_nothing(peer: Peer, game: Game) -> None:
    """There was nothing of the game, and there is nothing of it."""
    expect_equal(peer.root(game).exists(), False, f"{peer.name} has no root")
    expect_equal((await peer.status()).active_operations, 0, f"{peer.name} is idle")
