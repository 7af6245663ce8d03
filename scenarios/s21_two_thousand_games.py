"""A library of 2,000 games is announced whole: by snapshot, by delta, and if none can hold it."""

import asyncio
from pathlib import Path

from lanspread_harness import Bytes, Game, Lab, Meta, Peer, expect_equal

META = Meta(expected_s=9, timeout_s=120, cores=1)

GAMES = 2_000

OTHERS = 7_000
"""With what they replace more than one delta of 256 KiB can hold: 38 bytes a game at least."""


async def scenario(lab: Lab) -> None:
    games = [tiny_game(lab, f"game {number:04}") for number in range(GAMES)]
    others = [tiny_game(lab, f"other {number:04}") for number in range(OTHERS)]
    alpha = await lab.peer("alpha", games=games)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    await expect_same_library(bravo, games)

    lab.note("the same library appears in another directory, of a peer that is known already")
    charlie = await lab.peer("charlie")
    await bravo.connect(charlie)
    before = bravo.mark()
    await asyncio.to_thread(write_all, games, charlie.games_dir)

    while any(game.peer_count != 2 for game in (await bravo.list_games("remote")).values()):
        await bravo.event("games-list-updated", since=before)
        before = bravo.mark()
    await bravo.download(games[-1], wait=True)

    lab.note("a directory with other games takes its place, which is more than a delta can hold")
    elsewhere = charlie.games_dir.with_name("other")
    await asyncio.to_thread(write_all, others, elsewhere)
    before = bravo.mark()
    await charlie.command("set-game-dir", path=str(elsewhere))
    expected = {game.id: 1 for game in (*games, *others)}
    while await source_counts(bravo) != expected:
        await bravo.event("games-list-updated", since=before)
        before = bravo.mark()


def tiny_game(lab: Lab, game_id: str) -> Game:
    """A game that is another one than all others."""
    return lab.game(game_id, {"x.eti": Bytes(game_id.encode())})


async def expect_same_library(peer: Peer, games: list[Game]) -> None:
    """Every game is listed, with the size that it has."""
    listed = await peer.list_games("remote")
    expected = {game.id: game.size for game in games}
    expect_equal(len(listed), GAMES, f"{peer.name} lists every game")
    expect_equal({game.id: game.size for game in listed.values()}, expected, "with its size")


async def source_counts(peer: Peer) -> dict[str, int]:
    """How many peers share each game that others have."""
    return {game.id: game.peer_count for game in (await peer.list_games("remote")).values()}


def write_all(games: list[Game], games_dir: Path) -> None:
    """Put games into a directory."""
    for game in games:
        game.write(games_dir)
