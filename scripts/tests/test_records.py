"""Reading records."""

from __future__ import annotations

import json

import pytest

from lanspread_harness.errors import ProtocolError
from lanspread_harness.fields import Fields
from lanspread_harness.records import Event, Failure, Ready, Result, parse_record

HEAD = {"seq": 1, "t_us": 5}
ERROR = {"code": "bad-json", "message": "m", "retryable": False, "hint": "h"}


def line(**record: object) -> str:
    return json.dumps({**HEAD, **record})


def test_each_kind_of_record_is_read() -> None:
    ready = parse_record(line(type="ready", protocol=1, version="0.1.0", data={"name": "a"}))
    assert isinstance(ready, Ready)
    assert ready.data.text("name") == "a"
    result = parse_record(line(type="result", id="x", cmd="status", data={}))
    assert isinstance(result, Result)
    assert result.id == "x"
    failure = parse_record(line(type="error", id=None, cmd=None, error=ERROR))
    assert isinstance(failure, Failure)
    assert (failure.id, failure.code) == (None, "bad-json")
    event = parse_record(line(type="event", event="peer-lost", data={"peer_id": "p", "n": None}))
    assert isinstance(event, Event)
    assert event.matches({"peer_id": "p"})
    assert event.matches({"n": None})
    assert not event.matches({"absent": None})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "[]",
        "nonsense",
        "\ufffd",
        line(type="other"),
        line(type="event", event="e"),
        line(type="result", id=None, cmd="c", data={}),
        line(type="result", cmd="c", data={}),
        line(type="result", id=True, cmd="c", data={}),
        line(type="error", error=ERROR),
        line(type="ready", seq="1", protocol=1, version="", data={}),
    ],
)
def test_anything_else_is_a_protocol_error(bad: str) -> None:
    with pytest.raises(ProtocolError):
        parse_record(bad)


def test_fields_have_the_type_that_is_asked_for() -> None:
    fields = Fields({"flag": True, "number": 3, "list": [{"a": 1}], "text": "t"}, "it")
    assert fields.flag("flag")
    assert fields.integer("number") == 3
    assert [item.integer("a") for item in fields.children("list")] == [1]
    assert fields.optional_text("none") is None
    for read in (fields.integer, fields.text, fields.items, fields.child):
        with pytest.raises(ProtocolError, match=r"it: flag: expected an? .*, got True"):
            read("flag")
