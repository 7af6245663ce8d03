"""Incidents: events that honest peers never cause, and warnings, errors and panics in their logs.

A scenario may end as it should although all sources of a peer sent wrong chunks: it only took
longer. So after each scenario the lab fails where a peer had an incident that the scenario does not
expect (`Lab.expects`). An incident that is expected need not come.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lanspread_harness.errors import ExpectationError
from lanspread_harness.records import Event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lanspread_harness.client import Peer

INCIDENT_EVENTS = frozenset({"source-dropped", "peer-rejected", "events-dropped", "runtime-failed"})
"""A source that sent what is wrong, a peer that is not what it says, events that were read too
slowly, a peer that broke down."""

LOG_LINE = re.compile(r"\S+Z\s+(?:WARN|ERROR)\s")
"""How a line of a peer's log begins that is a warning or an error."""

ORDINARY_WARNINGS = ("a game changed while it was hashed",)
"""Warnings that come of good timing alone: a scenario, or an update, writes a game that is being
hashed. It is hashed again."""

PANIC = "panicked at"

SHOWN = 10
"""How many incidents stand in a failure; the files have all."""

SHOWN_CHARS = 400


def check_incidents(peers: Sequence[Peer], expected: Collection[str]) -> None:
    """Fail where a peer had an incident that is not expected.

    `expected` are parts of the lines of events or logs. A panic is never expected.
    """
    found = find_incidents(peers, expected)
    if found:
        left_out = [f"… {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        shown = [text[:SHOWN_CHARS] for text in found[:SHOWN]]
        expectation = (
            f"{found[0].partition(' ')[0]} has no incident that the scenario does not expect"
        )
        raise ExpectationError(expectation, [*shown, *left_out])


def find_incidents(peers: Sequence[Peer], expected: Collection[str] = ()) -> list[str]:
    """What peers had until now that is not expected, each as a line that begins with the peer."""
    return [incident for peer in peers for incident in _find_incidents(peer, expected)]


def _find_incidents(peer: Peer, expected: Collection[str]) -> Iterator[str]:
    for line in _read_log(peer):
        if PANIC in line:
            yield f"{peer.name} panics: {line}"
        elif LOG_LINE.match(line) and not any(
            part in line for part in (*expected, *ORDINARY_WARNINGS)
        ):
            yield f"{peer.name} logs {line}"
    for session in peer.sessions:
        for record in session.records:
            is_incident = isinstance(record, Event) and record.event in INCIDENT_EVENTS
            if is_incident and not any(part in record.line for part in expected):
                yield f"{peer.name} tells {record.line}"


def _read_log(peer: Peer) -> list[str]:
    if not peer.stderr.exists():
        return []
    return peer.stderr.read_text(encoding="utf-8", errors="replace").splitlines()
