"""Reads what stands on a command line: sizes, rates, shares, times, and fields of commands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lanspread_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lanspread_lab.json_types import JsonValue

SIZE_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
SIZE_UNITS |= {"kb": 10**3, "mb": 10**6, "gb": 10**9}
RATE_UNITS_MBIT = {"kbit": 1e-3, "mbit": 1.0, "gbit": 1e3}
TIME_UNITS_S = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda found, wanted: found >= wanted,
    "<=": lambda found, wanted: found <= wanted,
    "!=": lambda found, wanted: found != wanted,
    ">": lambda found, wanted: found > wanted,
    "<": lambda found, wanted: found < wanted,
    "=": lambda found, wanted: found == wanted,
}
FIELD = re.compile(r"(?P<name>[a-z][a-z0-9_.]*)(?P<sign>>=|<=|!=|=|>|<)(?P<value>.*)", re.DOTALL)
AMOUNT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[A-Za-z%]*)")


def size_bytes(text: str) -> int:
    """A number of bytes, such as `64MiB`."""
    return round(_amount(text, SIZE_UNITS, "a size such as 64MiB"))


def rate_mbit(text: str) -> float:
    """Megabits a second, such as `10Mbit`."""
    return _amount(text, RATE_UNITS_MBIT, "a rate such as 10Mbit")


def seconds(text: str) -> float:
    """A time, such as `30s` or `500ms`."""
    return _amount(text, TIME_UNITS_S, "a time such as 30s or 500ms")


def milliseconds(text: str) -> float:
    """A time in milliseconds, such as `40ms`."""
    return seconds(text) * 1000


def share(text: str) -> float:
    """A part of 1, such as `2%` or `0.02`."""
    found = AMOUNT.fullmatch(text)
    if found is None or found["unit"] not in ("", "%"):
        raise _wrong(text, "a share such as 2% or 0.02")
    return float(found["number"]) / (100 if found["unit"] else 1)


LINK_OPTIONS: dict[str, tuple[str, Callable[[str], float]]] = {
    "rate": ("rate_mbit", rate_mbit),
    "delay": ("delay_ms", milliseconds),
    "jitter": ("jitter_ms", milliseconds),
    "queue": ("queue_ms", milliseconds),
    "loss": ("loss", share),
    "duplicate": ("duplicate", share),
    "corrupt": ("corrupt", share),
    "reorder": ("reorder", share),
}
"""Options of `shape`: the field of `Link` each is, and how it is read."""


def link_fields(given: dict[str, Any]) -> dict[str, float]:
    """The fields of a `Link` that the options of `shape` state."""
    return {
        field: read(str(given[option]))
        for option, (field, read) in LINK_OPTIONS.items()
        if given.get(option)
    }


def _amount(text: str, units: dict[str, float] | dict[str, int], what: str) -> float:
    found = AMOUNT.fullmatch(text)
    unit = None if found is None else units.get(found["unit"].lower())
    if found is None or unit is None:
        raise _wrong(text, what)
    return float(found["number"]) * unit


def _wrong(text: str, what: str) -> LabError:
    return LabError("lab-usage", f"{text!r} is not {what}")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a field of an event has to be; a dotted name reaches into objects."""

    name: str
    sign: str
    value: JsonValue

    @classmethod
    def read(cls, text: str) -> Condition:
        """Read `field=value` or another comparison."""
        found = FIELD.fullmatch(text)
        if found is None:
            raise LabError("lab-usage", f"{text!r} is not field=value", "try game_id=quake")
        return cls(found["name"], found["sign"], json_or_text(found["value"]))

    def holds(self, data: dict[str, Any]) -> bool:
        """Whether it is so in the data of an event."""
        found: Any = data
        for part in self.name.split("."):
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        if self.sign in ("=", "!=") and isinstance(found, str):
            return COMPARISONS[self.sign](found, as_text(self.value))
        try:
            return COMPARISONS[self.sign](found, self.value)
        except TypeError:
            return False

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{as_text(self.value)}"


def json_or_text(text: str) -> JsonValue:
    """A JSON value where the text is one, else the text."""
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return text
    return value


def as_text(value: object) -> str:
    """A value as it was typed."""
    return value if isinstance(value, str) else json.dumps(value)
