"""Archives with odd names, copies, old comments or a program in front install like any other."""

import zlib
from pathlib import Path

from lanspread_harness import (
    METHOD_NORMAL,
    Bytes,
    CommandError,
    CopyOf,
    Game,
    Lab,
    Peer,
    Rar5Entry,
    dictionary,
    expect,
    expect_equal,
    expect_error,
    rar3,
    rar5,
)

DATA = Path(__file__).parents[1] / "crates/lanspread-archive/tests/data"

STEST_CRC32 = 0xC5B7E6A2
"""Of each file in the archives of references and of hard links."""

DOUBLED_TO_4_GIB = 15


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    odd_names = {"😀.txt": b"smile", "日本 🎮/ü.txt": b"letters"}
    program = b"MZ" + bytes(5000)
    wanted: list[tuple[Game, dict[str, int]]] = [
        (
            lab.game("names", {"names.eti": Bytes(rar3(list(odd_names.items())))}),
            {name: zlib.crc32(content) for name, content in odd_names.items()},
        ),
        (
            lab.game("references", {"references.eti": CopyOf(DATA / "rar5-dups.rar")}),
            {f"stest{number}.txt": STEST_CRC32 for number in range(1, 10)},
        ),
        (
            lab.game("hardlinks", {"hardlinks.eti": CopyOf(DATA / "rar5-hlink.rar")}),
            {f"stest{number}.txt": STEST_CRC32 for number in range(1, 4)},
        ),
        (
            lab.game("comments", {"comments.eti": CopyOf(DATA / "rar15-comment.rar")}),
            {"FILE1.TXT": 0xE27F07A9, "FILE2.TXT": 0x3C4306F7},
        ),
        (
            lab.game(
                "program",
                {"program.eti": Bytes(program + (DATA / "rar5-solid.rar").read_bytes())},
            ),
            {"stest1.txt": STEST_CRC32, "stest2.txt": STEST_CRC32},
        ),
    ]
    large = Rar5Entry("f", b"large", compression=METHOD_NORMAL | dictionary(DOUBLED_TO_4_GIB))
    stored = Rar5Entry("f", b"large", compression=dictionary(DOUBLED_TO_4_GIB))
    unsupported = lab.game("unsupported", {"unsupported.eti": Bytes(rar5([large]))})
    allowed = lab.game("allowed", {"allowed.eti": Bytes(rar5([stored]))})
    games = [*(game for game, _ in wanted), unsupported, allowed]
    alpha = await lab.peer("alpha", games=games)
    bravo = await lab.peer("bravo")
    charlie = await lab.peer("charlie", games=games)
    delta = await lab.peer("delta", games=[allowed], max_dictionary="4GiB")
    await bravo.connect(alpha)

    for game, files in wanted:
        await charlie.install(game)
        expect_equal(installed(charlie, game), files, f"{game.id} is installed")
        await bravo.stream_install(game, wait=True)
        expect_equal(installed(bravo, game), files, f"{game.id} is streamed")

    for game in (unsupported, allowed):
        await expect_unsupported(charlie, game)
        with expect_error("unsupported-archive"):
            await bravo.stream_install(game, wait=True)
    await delta.install(allowed)
    expected = {"f": zlib.crc32(b"large")}
    expect_equal(installed(delta, allowed), expected, "a higher limit lets it pass")


async def expect_unsupported(peer: Peer, game: Game) -> None:
    """The message has both numbers and the flag, and nobody is sent to get the game again."""
    text = ""
    with expect_error("unsupported-archive"):
        try:
            await peer.install(game)
        except CommandError as error:
            text = f"{error.message}; {error.hint}"
            raise
    wanted = "needs a dictionary of 4 GiB, more than 1 GiB (--max-dictionary)"
    expect(wanted in text, "the message says what is missing", text)
    expect("get the game again" not in text, "the hint helps", text)


def installed(peer: Peer, game: Game) -> dict[str, int]:
    """CRC32 of what is in the game's `local/`, the owner marker apart."""
    local = peer.root(game) / "local"
    return {
        path.relative_to(local).as_posix(): zlib.crc32(path.read_bytes())
        for path in local.rglob("*")
        if path.is_file() and path.name != ".lanspread_owned"
    }
