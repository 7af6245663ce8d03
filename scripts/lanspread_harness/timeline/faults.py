"""Faults that the harness made, from when they begin to when they are undone.

A fault that lasts is written as two lines with one `id`, `phase` `begin` and `end`; one that does
not, as one line with `phase` `instant`. A `run` says that it is about one process, with which it
ends. Histories of older runners have lines without a phase: SIGSTOP lasts until SIGCONT, the others
are instants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lanspread_harness.timeline.entries import Entry, Kind, child, integer, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lanspread_harness.fields import JsonObject

LASTING = {"SIGSTOP": "SIGCONT"}
"""Faults without a phase that last, and what ends them."""

FaultKey: TypeAlias = "int | tuple[str | None, int, str]"


@dataclass(slots=True)
class Fault:
    """One fault; `end_us` is absent for an instant. `line` and `end` are its lines in the history.

    One that was not undone lasts to the end of the process that it is about, or of the history.
    """

    name: str
    peers: tuple[str, ...]
    begin_us: int
    end_us: int | None
    line: int
    end: int | None
    detail: JsonObject

    @property
    def title(self) -> str:
        """Its name, and in short what it is made of: `shape, inbound rate_mbit 60`."""
        return ", ".join([self.name, *_in_short(self.detail)])


def faults(entries: Iterable[Entry]) -> list[Fault]:
    """All faults in the order in which they begin; `entries` in the order of their times."""
    found: list[Fault] = []
    lasting: dict[FaultKey, tuple[Fault, Entry]] = {}
    last_us = 0
    for entry in entries:
        last_us = max(last_us, entry.at_us)
        if entry.kind is Kind.EXIT:
            for key in [key for key, (_, begin) in lasting.items() if _is_about(begin, entry)]:
                _end(lasting.pop(key)[0], entry.at_us, None)
        if entry.kind is not Kind.FAULT:
            continue
        phase, key = _phase_and_key(entry)
        if phase == "end":
            ended = lasting.pop(key, None)
            if ended is not None:
                _end(ended[0], entry.at_us, entry.line)
                continue
        fault = Fault(
            entry.name, _peers(entry), entry.at_us, None, entry.line, None, _detail(entry)
        )
        found.append(fault)
        if phase == "begin":
            lasting[key] = fault, entry
    for fault, _ in lasting.values():
        _end(fault, last_us, None)
    return found


def _in_short(detail: JsonObject) -> Iterator[str]:
    """What is asked for; what is not, off or empty, is left out."""
    for name, value in detail.items():
        if isinstance(value, dict):
            yield from (f"{name} {inner}" for inner in _in_short(value))
        elif value is True:
            yield name
        elif value not in (None, False, ""):
            yield f"{name} {value}"


def _end(fault: Fault, at_us: int, line: int | None) -> None:
    fault.end_us = at_us
    fault.end = line


def _phase_and_key(entry: Entry) -> tuple[str, FaultKey]:
    number = integer(entry.data, "id")
    phase = text(entry.data, "phase")
    if phase is not None and number is not None:
        return phase, number
    if entry.name in LASTING:
        return "begin", (entry.peer, entry.run, LASTING[entry.name])
    if entry.name in LASTING.values():
        return "end", (entry.peer, entry.run, entry.name)
    return "instant", (entry.peer, entry.run, entry.name)


def _is_about(begin: Entry, ended: Entry) -> bool:
    return "run" in begin.data and (begin.peer, begin.run) == (ended.peer, ended.run)


def _peers(entry: Entry) -> tuple[str, ...]:
    several = entry.data.get("peers")
    if isinstance(several, list):
        return tuple(peer for peer in several if isinstance(peer, str))
    return () if entry.peer is None else (entry.peer,)


def _detail(entry: Entry) -> JsonObject:
    return child(entry.data, "detail")
