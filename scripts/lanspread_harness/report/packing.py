"""A timeline as the report page takes it in: compact, bounded, and unable to break the page.

The unpacked form is one line of JSON, the head, and after it one line for each embedded entry of
the history, as it stands there. The head has numbers in columns, with times and line numbers as
differences to the one before, which compress well. All of it is gzip in base64, whose alphabet has
nothing that HTML would take for markup.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.timeline.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lanspread_harness.fields import JsonObject, JsonValue
    from lanspread_harness.timeline import Entry, Timeline

MAX_ENTRIES_FAILED = 100_000
"""Of a failed scenario; some 3 MB in the page, and a browser draws them at once."""

MAX_ENTRIES_PASSED = 20_000
"""Of one that passed: a run has many of these, and few of them are ever looked at."""

HEAD_SHARE = 10
"""When entries are left out they are taken from the middle: a tenth of what stays is the beginning,
where peers find each other, and the rest is the end, where things fail."""

MAX_TEXT_CHARS = 4096
"""How much of one entry is embedded; the list of a library of thousands of games is longer."""

MAX_SAMPLES = 2000
"""Points of one transfer; more are merged, which no screen shows."""

GZIP_LEVEL = 6

KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Packed:
    """A timeline as text for the page; `entries` is how many the whole history has."""

    text: str
    entries: int


def pack(timeline: Timeline, *, failed: bool) -> Packed:
    """The timeline for the page, and no more of it than fits there."""
    kept, left_out = _bounded(
        timeline.entries, MAX_ENTRIES_FAILED if failed else MAX_ENTRIES_PASSED
    )
    head: JsonObject = {
        "end_us": timeline.end_us,
        "total": len(timeline.entries),
        "unreadable": timeline.unreadable,
        "left_out": left_out,
        "peers": list(timeline.peers),
        "runs": [
            {
                "peer": run.peer,
                "run": run.run,
                "begin_us": run.begin_us,
                "end_us": run.end_us,
                "status": run.status,
                "offset_us": None if run.clock is None else run.clock.offset_us,
                "error_us": None if run.clock is None else run.clock.error_us,
            }
            for run in timeline.runs
        ],
        "kinds": list(KINDS),
        **_columns(kept, timeline.peers),
        **_activities(timeline),
    }
    texts = (_bounded_text(entry.text) for entry in kept)
    unpacked = "\n".join([json.dumps(head, separators=(",", ":")), *texts])
    # A fixed time in the header: the same history makes the same page.
    packed = gzip.compress(unpacked.encode("utf-8", "replace"), GZIP_LEVEL, mtime=0)
    return Packed(base64.b64encode(packed).decode("ascii"), len(timeline.entries))


def _bounded(entries: Sequence[Entry], limit: int) -> tuple[list[Entry], JsonValue]:
    """At most `limit` entries, and what was left out: how many, after which row."""
    if len(entries) <= limit:
        return list(entries), None
    first = limit // HEAD_SHARE
    last = limit - first
    left_out: JsonObject = {"count": len(entries) - limit, "after_row": first}
    return [*entries[:first], *entries[-last:]], left_out


def _bounded_text(text: str) -> str:
    """A line of the history; what is cut is no JSON any more, and says how long it was."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    return f"{text[:MAX_TEXT_CHARS]}… (the whole line has {len(text)} characters)"


def _columns(entries: Iterable[Entry], peers: Sequence[str]) -> JsonObject:
    peer_index = {peer: index for index, peer in enumerate(peers)}
    kind_index = {kind: index for index, kind in enumerate(KINDS)}
    names: dict[str, int] = {}
    at: list[JsonValue] = []
    lag: list[JsonValue] = []
    line: list[JsonValue] = []
    peer: list[JsonValue] = []
    run: list[JsonValue] = []
    kind: list[JsonValue] = []
    name: list[JsonValue] = []
    at_us = number = 0
    for entry in entries:
        at.append(entry.at_us - at_us)
        line.append(entry.line - number)
        at_us, number = entry.at_us, entry.line
        lag.append(entry.logged_us - entry.at_us)
        peer.append(-1 if entry.peer is None else peer_index[entry.peer])
        run.append(entry.run)
        kind.append(kind_index[entry.kind])
        name.append(names.setdefault(entry.name, len(names)))
    columns: JsonObject = {"at": at, "lag": lag, "line": line, "peer": peer}
    return {**columns, "run": run, "kind": kind, "name": name, "names": list(names)}


def _activities(timeline: Timeline) -> JsonObject:
    """What lasts: always of the whole history, however much of it is embedded."""
    return {
        "commands": [
            {
                "peer": command.sent.peer,
                "name": command.sent.name,
                "begin_us": command.sent.at_us,
                "end_us": None if command.answer is None else command.answer.at_us,
                "outcome": command.outcome,
                "begin": command.sent.line,
                "end": None if command.answer is None else command.answer.line,
            }
            for command in timeline.commands
        ],
        "operations": [
            {
                "peer": operation.peer,
                "name": operation.name,
                "game": operation.game,
                "begin_us": operation.begin_us,
                "end_us": operation.end_us,
                "outcome": operation.outcome,
                "code": operation.code,
                "bytes": operation.bytes,
                "begin": operation.begin,
                "end": operation.end,
            }
            for operation in timeline.operations
        ],
        "transfers": [
            {
                "source": transfer.source,
                "receiver": transfer.receiver,
                "game": transfer.game,
                "begin_us": transfer.begin_us,
                "bytes": transfer.bytes,
                "samples": merged([(sample.at_us, sample.bytes) for sample in transfer.samples]),
            }
            for transfer in timeline.transfers
        ],
        "faults": [
            {
                "name": fault.name,
                "title": fault.title,
                "peers": list(fault.peers),
                "begin_us": fault.begin_us,
                "end_us": fault.end_us,
                "begin": fault.line,
                "end": fault.end,
                "detail": fault.detail,
            }
            for fault in timeline.faults
        ],
    }


def merged(samples: Sequence[tuple[int, int]]) -> JsonValue:
    """At most `MAX_SAMPLES` times and byte counts; neighbours are added up at the later time."""
    step = -(-len(samples) // MAX_SAMPLES) or 1
    groups = [samples[start : start + step] for start in range(0, len(samples), step)]
    return [[group[-1][0], sum(count for _, count in group)] for group in groups]
