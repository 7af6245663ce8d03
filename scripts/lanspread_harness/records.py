"""The records a peer prints, as types.

`parse_record` turns one line of a peer's standard output into a `Ready`, `Result`, `Failure` or
`Event`. It checks the envelope on its own, apart from the schema that the binary brings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from lanspread_harness.errors import ProtocolError
from lanspread_harness.fields import Fields, JsonObject, JsonValue

CommandId: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every record has: its place in the peer's output, its time, and the line itself."""

    seq: int
    t_us: int
    line: str


@dataclass(frozen=True, slots=True)
class Ready(Envelope):
    """The first record of a peer that started."""

    protocol: int
    version: str
    data: Fields


@dataclass(frozen=True, slots=True)
class Result(Envelope):
    """The terminal record of a command that worked."""

    id: CommandId
    cmd: str
    data: Fields


@dataclass(frozen=True, slots=True)
class Failure(Envelope):
    """The `error` record: the terminal record of a command, or about a line, or about startup."""

    id: CommandId | None
    cmd: str | None
    code: str
    message: str
    retryable: bool
    hint: str | None


@dataclass(frozen=True, slots=True)
class Event(Envelope):
    """Something that happened in a peer."""

    event: str
    data: Fields

    def matches(self, where: JsonObject) -> bool:
        """Whether every field of `where` is in the event's data with an equal value."""
        return all(
            name in self.data.data and self.data.data[name] == value
            for name, value in where.items()
        )


Record: TypeAlias = Ready | Result | Failure | Event


def describe(record: Record) -> str:
    """A record in a few words, for a failure: its kind, what names it, and the text of an error."""
    match record:
        case Event():
            what = f"event {record.event}"
        case Result():
            what = f"the result of {record.cmd}"
        case Failure():
            what = f"error {record.code}: {record.message}"
        case _:
            what = "ready"
    return f"{what} (seq {record.seq})"


def parse_object(line: str) -> JsonObject:
    """The JSON object in `line`; anything else raises `ProtocolError`."""
    try:
        value: JsonValue = json.loads(line)
    except ValueError as error:
        raise ProtocolError(
            "JSON", [f"{line!r:.300}: {error}"], about="a line of output"
        ) from error
    if not isinstance(value, dict):
        raise ProtocolError("a JSON object", [f"{line!r:.300}"], about="a line of output")
    return value


def record_from(value: JsonObject, line: str) -> Record:
    """The typed record of `value`, which was read from `line`."""
    top = Fields(value, "record")
    seq, t_us, kind = top.integer("seq"), top.integer("t_us"), top.text("type")
    if kind == "event":
        name = top.text("event")
        return Event(seq, t_us, line, name, Fields(top.child("data").data, f"event {name}"))
    if kind == "result":
        cmd = top.text("cmd")
        command_id = _command_id(top)
        if command_id is None:
            raise ProtocolError("the id of its command", ["null", line[:300]], about="a result")
        return Result(seq, t_us, line, command_id, cmd, Fields(top.child("data").data, cmd))
    if kind == "error":
        error = top.child("error")
        return Failure(
            seq,
            t_us,
            line,
            _command_id(top),
            top.optional_text("cmd"),
            error.text("code"),
            error.text("message"),
            error.flag("retryable"),
            error.optional_text("hint"),
        )
    if kind == "ready":
        return Ready(
            seq, t_us, line, top.integer("protocol"), top.text("version"), top.child("data")
        )
    raise ProtocolError(
        "one of ready, result, error and event",
        [f"{kind!r:.200}", line[:300]],
        about="a record's type",
    )


def parse_record(line: str) -> Record:
    """The typed record in `line`; `ProtocolError` where it is none."""
    return record_from(parse_object(line), line)


def _command_id(top: Fields) -> CommandId | None:
    if "id" not in top.data:
        raise ProtocolError("an id", [f"none in {top.data!r:.300}"], about="a result or error")
    value = top.data["id"]
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    raise ProtocolError("a string or a number", [f"{value!r:.200}"], about="an id")
