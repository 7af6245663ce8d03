"""Archives that escape (`..`, absolute, links, Windows names): refused, nothing gets outside."""

import zlib
from pathlib import Path

from lanspread_harness import (
    Bytes,
    CopyOf,
    Game,
    Lab,
    Peer,
    expect,
    expect_equal,
    expect_error,
    tree_digest,
)

NAMES = {
    "up": "../escaped.txt",
    "updeep": "a/b/../../../escaped.txt",
    "absolute": "/escaped.txt",
    "backslash": "..\\escaped.txt",
    "drive": "C:\\escaped.txt",
    "share": "\\\\host\\share\\escaped.txt",
    "device": "aux.txt",
    "stream": "a.txt:hidden",
    "dot": "trailing.",
    "control": "a\nb",
}

DATA = Path(__file__).parents[1] / "crates/lanspread-archive/tests/data"
# Made by RAR itself.
LINKS = {
    "symlink": "rar5-symlink-unix.rar",
    "oldsymlink": "rar3-symlink-unix.rar",
    "winsymlink": "rar5-symlink-win.rar",
    "hardlink": "rar5-hlink.rar",
    "filecopy": "rar5-dups.rar",
    "traversal": "rar5-evil-symlink-traversal.rar",
}


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    games = [
        lab.game(game_id, {f"{game_id}.eti": Bytes(rar5([("fine.txt", b"fine"), (name, b"evil")]))})
        for game_id, name in NAMES.items()
    ]
    games += [
        lab.game(game_id, {f"{game_id}.eti": CopyOf(DATA / name)})
        for game_id, name in LINKS.items()
    ]
    # That the names alone are the reason: the same archive with a plain name installs.
    plain = lab.game("plain", {"plain.eti": Bytes(rar5([("fine.txt", b"fine")]))})
    alpha = await lab.peer("alpha", games=[*games, plain])
    bravo = await lab.peer("bravo")
    charlie = await lab.peer("charlie", games=games)
    await bravo.connect(alpha)
    await charlie.connect(alpha)
    outside = everything_but(lab, games)

    for game in games:
        with expect_error("unsafe-archive"):
            await bravo.stream_install(game, wait=True)
        expect(not bravo.root(game).exists(), f"{game.id}: no root is left", bravo.root(game))
        with expect_error("unsafe-archive"):
            await charlie.install(game)
        expect_no_local(charlie, game)
    expect_equal(everything_but(lab, games), outside, "nothing was written outside the roots")
    expect(not Path("/escaped.txt").exists(), "nothing was written to /")

    await bravo.stream_install(plain, wait=True)
    installed = tree_digest(bravo.root(plain), without=())
    expect_equal(list(installed), ["local/fine.txt"], "a plain archive of the same maker installs")


def expect_no_local(peer: Peer, game: Game) -> None:
    names = {path.name for path in peer.root(game).iterdir()}
    expect_equal(names, {f"{game.id}.eti", "version.ini"}, f"{game.id}: only the download is there")


def everything_but(lab: Lab, games: list[Game]) -> list[str]:
    """Every path below the peers' directories but the roots of these games and what peers note."""
    own = {game.id for game in games} | {"state"}
    names = (path.relative_to(lab.peers_dir) for path in lab.peers_dir.rglob("*"))
    return sorted(str(name) for name in names if not own & set(name.parts))


def rar5(entries: list[tuple[str, bytes]]) -> bytes:
    """A RAR 5 archive with stored entries of any names; all numbers are below 128."""

    def block(*fields: bytes) -> bytes:
        body = b"".join(fields)
        checked = bytes([len(body)]) + body
        return zlib.crc32(checked).to_bytes(4, "little") + checked

    archive = b"Rar!\x1a\x07\x01\x00" + block(b"\x01\x00\x00")
    for name, content in entries:
        raw, size = name.encode(), bytes([len(content)])
        crc = zlib.crc32(content).to_bytes(4, "little")
        # Kind, flags, data size; file flags, size, attributes, CRC32; stored, Unix; name.
        head = (b"\x02\x02", size, b"\x04", size, b"\x00", crc, b"\x00\x01", bytes([len(raw)]), raw)
        archive += block(*head) + content
    return archive + block(b"\x05\x00\x00")
