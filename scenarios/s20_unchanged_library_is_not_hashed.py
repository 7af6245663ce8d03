"""Restart with an unchanged library reuses the index: no file is hashed again.

Every content file is emptied of its bytes between the runs, and made to look as before: what a
second run knows of their content, it can only know from the index. `version.ini`, which is no
content, is read each time. A changed game is hashed, and no other.
"""

import os
from pathlib import Path

from lanspread_harness import SENTINEL, Fields, Game, Lab, Peer, age, expect, expect_equal

GAMES = 20


async def scenario(lab: Lab) -> None:
    games = [lab.game(f"game {number}") for number in range(GAMES)]
    alpha = await lab.peer("alpha", games=games, start=False)
    # Times that are as young as the hashing would tell of nothing.
    age(alpha.games_dir)
    await alpha.start()
    roots = {game.id: await content_root(alpha, game) for game in games}
    await alpha.shutdown()
    await alpha.exited()

    for game in games:
        for path in alpha.root(game).iterdir():
            if path.name != SENTINEL:
                hollow(path)
    await alpha.restart()
    first = {game.id: (await details(alpha, game)).optional_text("content_root") for game in games}
    expect_equal(first, roots, "every content root is known at once, with no bytes to read")
    local = await alpha.list_games("local")
    expect_equal(
        {game.availability for game in local.values()}, {"ready"}, "every game is ready at once"
    )
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    expect_equal(len(await bravo.list_games("remote")), GAMES, "and announced")

    lab.note("one game changes while its peer runs")
    changed, before = games[0], alpha.mark()
    (alpha.root(changed) / f"{changed.id}.eti").write_bytes(b"other content")

    def names_it(data: Fields) -> bool:
        return changed.id in data.items("changed")

    await alpha.event("local-games-updated", where=names_it, since=before)
    expect(await content_root(alpha, changed) != roots[changed.id], "it is hashed anew")
    for game in games[1:]:
        root = (await details(alpha, game)).optional_text("content_root")
        expect_equal(root, roots[game.id], f"{game.id} is not")
    updates = alpha.events("local-games-updated", since=before)
    named = {game_id for update in updates for game_id in update.data.items("changed")}
    expect_equal(named, {changed.id}, "no other game is touched")


async def details(peer: Peer, game: Game) -> Fields:
    """The manifest that a peer has of its own game."""
    return (await peer.command("get-game", game_id=game.id)).child("manifest")


async def content_root(peer: Peer, game: Game) -> str:
    """The content root of a game, once it is hashed."""
    while True:
        before = peer.mark()
        root = (await details(peer, game)).optional_text("content_root")
        if root is not None:
            return root
        await peer.event("local-games-updated", since=before)


def hollow(path: Path) -> None:
    """Take the bytes of a file and leave its size and times."""
    before = path.stat()
    with path.open("r+b") as file:
        file.truncate(0)
        file.truncate(before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
