"""Every file of a game counts: one that comes, changes or goes later reaches whoever downloads.

Also below the root, where nothing is watched, and where a coarse clock gives the same time to two
contents.
"""

import os
from pathlib import Path

from lanspread_harness import (
    Bytes,
    Fields,
    Game,
    Lab,
    Meta,
    Peer,
    age,
    expect_equal,
)

META = Meta(timeout_s=120, peers=5)

NOTICED_WITHIN_S = 3


async def scenario(lab: Lab) -> None:
    game = lab.game(
        "quake", {"quake.eti": Bytes(b"archive"), "cfg/server.cfg": Bytes(b"port=1234")}
    )
    alpha = await lab.peer("alpha", games=[game], start=False)
    age(alpha.games_dir)
    await alpha.start()
    root, config = alpha.root(game), alpha.root(game) / "cfg" / "server.cfg"
    known = await alpha.hashed(game)

    lab.note("the rest of the folder comes after the sentinel")
    before = alpha.mark()
    (root / "world.dat").write_bytes(b"world")
    (root / "music").mkdir()
    (root / "music" / "1.ogg").write_bytes(b"music")
    await noticed(alpha, game, since=before)
    known = await another(alpha, game, known)
    await fetched(lab, "bravo", game, alpha)

    lab.note("a file below the root is edited: whoever asks next gets the new one")
    config.write_bytes(b"port=4321")
    await fetched(lab, "charlie", game, alpha)
    known = await another(alpha, game, known)

    lab.note("a file below the root is edited while the peer is away")
    await alpha.shutdown()
    await alpha.exited()
    config.write_bytes(b"port=1111")
    await alpha.restart()
    known = await another(alpha, game, known)
    await fetched(lab, "delta", game, alpha)

    lab.note("a file changes in the same tick of a coarse clock")
    before = alpha.mark()
    coarse(root / "world.dat", b"earth")
    known = await another(alpha, game, known)
    coarse(root / "world.dat", b"venus")
    known = await another(alpha, game, known)
    await fetched(lab, "echo", game, alpha)


async def noticed(peer: Peer, game: Game, *, since: int) -> None:
    """Wait until a peer says that its game is another one, which must not take long."""

    def names_it(data: Fields) -> bool:
        return game.id in data.items("changed")

    await peer.event("local-games-updated", where=names_it, since=since, timeout_s=NOTICED_WITHIN_S)


async def another(peer: Peer, game: Game, known: str) -> str:
    """Wait until a peer's game is hashed and has another content than before."""
    while True:
        before = peer.mark()
        found = await peer.hashed(game)
        if found != known:
            return found
        await peer.event("local-games-updated", since=before)


async def fetched(lab: Lab, name: str, game: Game, source: Peer) -> None:
    """Download the game as a new peer, and find the files that the source has."""
    peer = await lab.peer(name)
    await peer.connect(source)
    await peer.download(game, wait=True)
    expect_equal(tree(peer.root(game)), tree(source.root(game)), f"{name} has what alpha has")


def tree(root: Path) -> dict[str, bytes]:
    """All files below a directory."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def coarse(path: Path, content: bytes) -> None:
    """Write a file as a file system does whose clock has one tick in two seconds."""
    path.write_bytes(content)
    seconds = path.stat().st_mtime_ns // 2_000_000_000 * 2
    os.utime(path, ns=(seconds * 1_000_000_000, seconds * 1_000_000_000))
