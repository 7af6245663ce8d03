"""A game beyond a limit is refused where it lies, with the limit and the number.

There are too many files, too long paths and too many bytes: each game is one above one limit alone.
"""

from lanspread_harness import Bytes, Content, Lab, Meta, Sparse, expect, expect_equal, expect_error

META = Meta(timeout_s=600, expected_s=150, long=True)
"""Long, as a slow disk takes minutes for so many files."""

FILES_MAX = 100_000
PATH_BYTES_MAX = 32 * 1024 * 1024
CHUNKS_MAX = 524_288
CHUNK = 2 * 1024 * 1024
"""The limits of docs/wire.md."""

PATH_BYTES = 1_000
"""Of each path of the game with too long paths, so that a third of the files are enough."""


async def scenario(lab: Lab) -> None:
    lab.expects("the game is not shared")
    many: dict[str, Content] = {
        f"{number // 1000:03}/{number:06}": Bytes(b"") for number in range(FILES_MAX + 1)
    }
    names = {path(number): Bytes(b"") for number in range(PATH_BYTES_MAX // PATH_BYTES)}
    left = PATH_BYTES_MAX - len(names) * PATH_BYTES
    long: dict[str, Content] = {**names, "y" * 200 + "/" + "z" * (left - 200): Bytes(b"")}
    large: dict[str, Content] = {"large.eti": Sparse(CHUNKS_MAX * CHUNK + 1)}
    expected = [
        (lab.game("many", many), "too-many-files", FILES_MAX),
        (lab.game("long", long), "paths-too-long", PATH_BYTES_MAX),
        (lab.game("large", large), "too-large", CHUNKS_MAX),
    ]
    alpha = await lab.peer("alpha", games=[game for game, _, _ in expected])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    for game, reason, limit in expected:
        incomplete = await alpha.event("game-incomplete", game_id=game.id)
        [problem] = incomplete.data.children("problems")
        expect_equal(problem.text("reason"), reason, f"what is wrong with {game.id}")
        message = problem.text("message")
        expect(str(limit + 1) in message, f"it has the number {limit + 1}: {message}")
        expect(str(limit) in message, f"it has the limit {limit}: {message}")
        view = (await alpha.list_games("local"))[game.id]
        expect_equal(view.availability, "incomplete", f"{game.id} is incomplete")
        with expect_error("no-source"):
            await bravo.download(game)
    expect_equal(await bravo.list_games("remote"), {}, "none of them is announced")


def path(number: int) -> str:
    """A path of `PATH_BYTES` bytes."""
    above = [f"{number // 100:04}" + "d" * 200, "e" * 250, "f" * 250, "h" * 50]
    head = "/".join(above) + f"/{number:06}"
    return head + "g" * (PATH_BYTES - len(head.encode()))
