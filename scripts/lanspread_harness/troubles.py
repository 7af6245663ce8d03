"""What honest peers never say of each other, and no log has where all is well.

A scenario may end as it should although a peer was told of wrong chunks by all others: it only took
longer. So after each scenario its peers are held to have had no trouble that it does not expect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lanspread_harness.errors import ExpectationError
from lanspread_harness.records import Event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lanspread_harness.client import Peer

EVENTS = frozenset({"source-dropped", "peer-rejected", "runtime-failed"})
"""A source that sent what is wrong, a peer that is not what it says, a peer that broke down."""

LOG_LINE = re.compile(r"\S+Z\s+(?:WARN|ERROR)\s")
"""How a line of a peer's log begins that is a warning or an error."""

ORDINARY = ("a game changed while it was hashed",)
"""Warnings that come of good timing alone: a scenario, or an update, writes a game that is being
hashed. It is hashed again."""

PANIC = "panicked at"

SHOWN = 10
"""How many lines of trouble stand in a failure; the files have all."""

SHOWN_CHARS = 400


def check_troubles(peers: Sequence[Peer], expected: Collection[str]) -> None:
    """Fail where a peer had trouble that is not expected.

    `expected` are parts of the lines of events or logs that tell it. A panic is never expected.
    """
    found = [trouble for peer in peers for trouble in _troubles(peer, expected)]
    if found:
        left_out = [f"… {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        shown = [text[:SHOWN_CHARS] for text in found[:SHOWN]]
        expectation = (
            f"{found[0].partition(' ')[0]} has no trouble that the scenario does not expect"
        )
        raise ExpectationError(expectation, [*shown, *left_out])


def _troubles(peer: Peer, expected: Collection[str]) -> Iterator[str]:
    for line in _log(peer):
        if PANIC in line:
            yield f"{peer.name} does not panic: {line}"
        elif LOG_LINE.match(line) and not any(part in line for part in (*expected, *ORDINARY)):
            yield f"{peer.name} logs {line}"
    for session in peer.sessions:
        for record in session.records:
            is_trouble = isinstance(record, Event) and record.event in EVENTS
            if is_trouble and not any(part in record.line for part in expected):
                yield f"{peer.name} tells {record.line}"


def _log(peer: Peer) -> list[str]:
    if not peer.stderr.exists():
        return []
    return peer.stderr.read_text(encoding="utf-8", errors="replace").splitlines()
