"""What scenarios assert with: each failure says what was expected, and what held instead."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lanspread_harness.errors import CommandError, ExpectationError
from lanspread_harness.fixtures import SENTINEL, tree_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lanspread_harness.backends import ExitStatus
    from lanspread_harness.client import Peer
    from lanspread_harness.fixtures import Game

SHOWN_CHARS = 600
"""How much of an unexpected value stands in a failure."""

SHOWN_DIFFERENCES = 10
"""How many files of a wrong tree stand there."""


def expect(condition: object, expectation: str, *evidence: object) -> None:
    """Fail unless `condition` holds; `expectation` says so in a sentence.

    The first `evidence` is what held instead.
    """
    if not condition:
        raise ExpectationError(expectation, [f"{item!r:.{SHOWN_CHARS}}" for item in evidence])


def expect_equal(actual: object, expected: object, expectation: str) -> None:
    """Fail unless both are equal; `expectation` says what they are, or what should hold."""
    if actual != expected:
        raise ExpectationError(
            f"{expected!r:.{SHOWN_CHARS}}", [f"{actual!r:.{SHOWN_CHARS}}"], about=expectation
        )


def expect_clean_exit(status: ExitStatus, peer: Peer) -> None:
    """Fail unless the peer ended with status 0, and with `stopped` as its last record."""
    expect_equal(str(status), "status 0", f"{peer.name} exits cleanly")
    records = peer.session.records
    stopped = peer.events("stopped")
    if not stopped or records[-1] != stopped[-1]:
        raise ExpectationError(
            "stopped as its last record",
            [peer.session.describe_last_record()],
            peer.session.evidence(),
            about=peer.name,
        )


async def expect_same_game(game: Game, holder: Peer, copier: Peer) -> None:
    """Fail unless both peers hold the game with the same files and the same bytes."""
    expected, actual = await asyncio.gather(
        asyncio.to_thread(tree_digest, holder.root(game)),
        asyncio.to_thread(tree_digest, copier.root(game)),
    )
    different = sorted(
        name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name)
    )
    if SENTINEL in expected and not different:
        return
    missing = [] if SENTINEL in expected else [f"{holder.name} has no {SENTINEL}"]
    differences = [
        f"{name}: {_difference(expected.get(name), actual.get(name), holder, copier)}"
        for name in different[:SHOWN_DIFFERENCES]
    ]
    others = len(different) - SHOWN_DIFFERENCES
    more = [f"… {others} more files differ"] if others > 0 else []
    expectation = f"{copier.name} has the same {game.id} as {holder.name}"
    raise ExpectationError(expectation, [*missing, *differences, *more])


@contextmanager
def expect_error(*codes: str) -> Iterator[None]:
    """Fail unless the commands inside raise `CommandError` with one of these codes."""
    expectation = f"the command is refused with {' or '.join(codes)}"
    try:
        yield
    except CommandError as error:
        if error.code in codes:
            return
        raise ExpectationError(expectation, error.evidence) from error
    raise ExpectationError(expectation, ["success"])


def _difference(expected: object, actual: object, holder: Peer, copier: Peer) -> str:
    if actual is None:
        return f"only {holder.name} has it"
    return f"only {copier.name} has it" if expected is None else f"other bytes at {copier.name}"
