"""A library of 2,000 games is announced whole, by snapshot and by delta."""

import asyncio

from lanspread_harness import Bytes, Game, Lab, Meta, Peer, expect_equal

META = Meta(expected_s=6, timeout_s=120, cores=1)

GAMES = 2_000


async def scenario(lab: Lab) -> None:
    games = [
        lab.game(f"game {number:04}", {"x.eti": Bytes(b"%d" % number)}) for number in range(GAMES)
    ]
    alpha = await lab.peer("alpha", games=games)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    await expect_same_library(bravo, games)

    lab.note("the same library appears in another directory, of a peer that is known already")
    charlie = await lab.peer("charlie")
    await bravo.connect(charlie)
    before = bravo.mark()
    await asyncio.to_thread(write_all, games, charlie)

    while any(game.peer_count != 2 for game in (await bravo.list_games("remote")).values()):
        await bravo.event("games-list-updated", since=before)
        before = bravo.mark()
    await bravo.download(games[-1], wait=True)


async def expect_same_library(peer: Peer, games: list[Game]) -> None:
    """Every game is listed, with the size that it has."""
    listed = await peer.list_games("remote")
    expected = {game.id: game.size for game in games}
    expect_equal(len(listed), GAMES, f"{peer.name} lists every game")
    expect_equal({game.id: game.size for game in listed.values()}, expected, "with its size")


def write_all(games: list[Game], peer: Peer) -> None:
    """Put games on the disk of a peer that runs."""
    for game in games:
        game.write(peer.games_dir)
