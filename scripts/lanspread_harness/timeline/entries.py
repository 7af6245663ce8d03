"""The lines of a `history.jsonl`, read again.

A runner that is killed leaves its last line half written, and a disk that lost power may leave
worse: a line that cannot be read is left out and counted, and never stops whoever looks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from lanspread_harness.fields import JsonObject, JsonValue

RunKey: TypeAlias = tuple[str, int]
"""A peer of the lab, and which start of it, from 1."""


class Kind(StrEnum):
    """What an entry of a history is."""

    COMMAND = "command"
    READY = "ready"
    RESULT = "result"
    ERROR = "error"
    EVENT = "event"
    PROGRESS = "progress"
    START = "start"
    EXIT = "exit"
    FAULT = "fault"
    NOTE = "note"
    FAILURE = "failure"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file: its number from 1, its text, and the object in it."""

    number: int
    text: str
    data: JsonObject


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the history at the time when it happened.

    `at_us` is on the runner's clock, since the lab began. For what a peer printed that is the
    peer's own time, carried over (see `clocks`), and `logged_us` when the line reached the runner;
    for all else both are the same. `data` is the record or command, else the whole line.
    """

    line: int
    at_us: int
    logged_us: int
    peer: str | None
    run: int
    kind: Kind
    name: str
    data: JsonObject
    text: str

    @property
    def seq(self) -> int | None:
        """The number of a record within its run."""
        return integer(self.data, "seq") if self.is_record else None

    @property
    def is_record(self) -> bool:
        """Whether the peer printed it."""
        return self.kind in RECORDS

    @property
    def body(self) -> JsonObject:
        """`data` of a record; empty where it has none."""
        return child(self.data, "data")


RECORDS = frozenset({Kind.READY, Kind.RESULT, Kind.ERROR, Kind.EVENT, Kind.PROGRESS})


def read_lines(path: Path) -> tuple[list[Line], int]:
    """The lines of a history, and how many could not be read."""
    lines: list[Line] = []
    unreadable = 0
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, raw in enumerate(file, start=1):
            text = raw.rstrip("\n")
            try:
                value: JsonValue = json.loads(text)
            except (ValueError, RecursionError):
                unreadable += 1
                continue
            if isinstance(value, dict):
                lines.append(Line(number, text, value))
            else:
                unreadable += 1
    return lines, unreadable


def entry_of(line: Line, offset_us: int | None) -> Entry:
    """The entry of a line; `offset_us` is when the clock of its peer's run showed zero."""
    data = line.data
    logged_us = integer(data, "t_us") or 0
    record = child(data, "record")
    kind, name = _kind_and_name(data, record)
    printed_us = integer(record, "t_us")
    at_us = logged_us if offset_us is None or printed_us is None else offset_us + printed_us
    return Entry(
        line=line.number,
        at_us=at_us,
        logged_us=logged_us,
        peer=text(data, "peer"),
        run=integer(data, "run") or 1,
        kind=kind,
        name=name,
        data=record or child(data, "command") or data,
        text=line.text,
    )


def run_of(line: Line) -> RunKey | None:
    """Which run of which peer a line belongs to."""
    peer = text(line.data, "peer")
    return None if peer is None else (peer, integer(line.data, "run") or 1)


def _kind_and_name(data: JsonObject, record: JsonObject) -> tuple[Kind, str]:
    written = text(data, "kind") or ""
    if written == "record":
        return _record_kind_and_name(record)
    if written == "command":
        return Kind.COMMAND, text(child(data, "command"), "cmd") or "raw line"
    if written == "fault":
        return Kind.FAULT, text(data, "fault") or "fault"
    if written == "exit":
        return Kind.EXIT, text(data, "status") or "exit"
    if written == "note":
        return Kind.NOTE, text(data, "text") or "note"
    if written == "failure":
        return Kind.FAILURE, text(data, "expectation") or "failure"
    return (Kind.START, "start") if written == "start" else (Kind.OTHER, written or "unknown")


def _record_kind_and_name(record: JsonObject) -> tuple[Kind, str]:
    match text(record, "type"):
        case "event":
            name = text(record, "event") or "event"
            return (Kind.PROGRESS if name.endswith("-progress") else Kind.EVENT), name
        case "result":
            return Kind.RESULT, text(record, "cmd") or "result"
        case "error":
            return Kind.ERROR, text(child(record, "error"), "code") or "error"
        case "ready":
            return Kind.READY, "ready"
        case other:
            return Kind.OTHER, other or "unknown"


# A history may be of another version, or of a peer that broke its schema: a field that has not the
# type it should have counts as absent.


def text(data: JsonObject, name: str) -> str | None:
    """The string `name`, if it is one."""
    value = data.get(name)
    return value if isinstance(value, str) else None


def integer(data: JsonObject, name: str) -> int | None:
    """The integer `name`, if it is one."""
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def child(data: JsonObject, name: str) -> JsonObject:
    """The object `name`, or an empty one."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def children(data: JsonObject, name: str) -> list[JsonObject]:
    """The objects in the list `name`."""
    value = data.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
