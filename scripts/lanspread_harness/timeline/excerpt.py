"""Which few lines of a history explain a failure.

A page of a terminal is what a reader takes in, and the last lines of a history are mostly the noise
of an ordinary end. So lines are chosen: of the peers that the failure names, first what was asked
and never answered, what went wrong and what the harness broke, then the latest of the rest.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from lanspread_harness.timeline.entries import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lanspread_harness.timeline import Timeline

MAX_LINES = 14
"""With promise, expectation and paths they fill a terminal of 24 lines."""

MAX_OF_A_SORT = 4
"""So that forty refused commands do not hide the one peer that was killed."""

MAX_CHARS = 240
"""How much of one line is shown; the whole is in the history."""

TROUBLE = ("-failed", "-cancelled", "-all-peers-gone", "peer-lost", "peer-rejected", "-dropped")

QUESTIONS = frozenset({"status", "list-peers", "list-games", "get-game"})
"""Commands that change nothing; an answer to one says little that the failure does not."""

PEER_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

CLEAN_END = frozenset({"close-stdin", "status 0"})


def involved_peers(peers: Collection[str], expectation: str, evidence: Iterable[str]) -> list[str]:
    """The peers that a failure names: in what was expected, else in what was found, else all."""
    for said in (expectation, "\n".join(evidence)):
        named = [
            peer for peer in peers if re.search(rf"(?<![\w-]){re.escape(peer)}(?![\w-])", said)
        ]
        if named:
            return named
    return list(peers)


def select_entries(timeline: Timeline, peers: Collection[str]) -> list[Entry]:
    """The lines that matter most, at most `MAX_LINES`, in the order of their times."""
    failure = timeline.failure
    until = len(timeline.entries) if failure is None else timeline.entries.index(failure)
    before = [e for e in timeline.entries[:until] if e.peer in peers or e.kind is Kind.FAULT]
    unanswered = {command.sent.line for command in timeline.commands if command.answer is None}
    sorts = [
        [entry for entry in before if entry.line in unanswered],
        [entry for entry in before if _is_trouble(entry)],
        [entry for entry in before if entry.kind is Kind.FAULT and entry.name not in CLEAN_END],
    ]
    chosen: dict[int, Entry] = {}
    for entries in sorts:
        chosen |= {entry.line: entry for entry in entries[-MAX_OF_A_SORT:]}
    for entry in reversed(before):
        if len(chosen) >= MAX_LINES:
            break
        if _is_of_interest(entry):
            chosen[entry.line] = entry
    return sorted(chosen.values(), key=lambda entry: (entry.at_us, entry.line))


def format_entry(entry: Entry, names: Mapping[str, str]) -> str:
    """An entry on one line of a terminal, where ids of peers are shown as their `names`."""
    name = f"expected: {entry.name}" if entry.kind is Kind.FAILURE else entry.name
    what = f"{entry.peer or '-':<8} {entry.kind:<8} {name}"
    rest = PEER_ID.sub(lambda found: names.get(found[0], found[0]), _rest(entry))
    line = f"{entry.at_us / 1e6:+10.3f} s  {what}{' ' * bool(rest)}{rest}"
    return line if len(line) <= MAX_CHARS else f"{line[: MAX_CHARS - 1]}…"


def _is_trouble(entry: Entry) -> bool:
    match entry.kind:
        case Kind.ERROR | Kind.OTHER:
            return True
        case Kind.EXIT:
            return entry.name not in CLEAN_END
        case Kind.EVENT:
            return entry.name == "runtime-failed" or any(part in entry.name for part in TROUBLE)
        case _:
            return False


def _is_of_interest(entry: Entry) -> bool:
    if entry.kind in {Kind.COMMAND, Kind.RESULT}:
        return entry.name not in QUESTIONS
    return entry.kind not in {Kind.PROGRESS, Kind.START}


HEAD = frozenset({"type", "seq", "t_us", "event", "id", "cmd", "peer", "run", "kind", "fault"})
"""Fields that stand elsewhere in the line, or that nobody reads there."""


def _rest(entry: Entry) -> str:
    rest: object
    if entry.kind is Kind.ERROR:
        error = entry.data.get("error")
        message = error.get("message") if isinstance(error, dict) else error
        rest = {"cmd": entry.data.get("cmd"), "message": message}
    elif entry.is_record:
        rest = entry.body
    elif entry.kind in {Kind.EXIT, Kind.NOTE, Kind.FAILURE, Kind.START}:
        rest = {}
    elif entry.kind is Kind.FAULT:
        fields = {name: value for name, value in entry.data.items() if name not in HEAD and value}
        rest = {name: value for name, value in fields.items() if value != "instant"}
    else:
        rest = {name: value for name, value in entry.data.items() if name not in HEAD}
    return json.dumps(rest, ensure_ascii=False) if rest else ""
