"""Operations of peers on games, from their first event to their last, and what moved in them.

They are made from entries alone. One whose end was never printed lasts as long as its run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from lanspread_harness.timeline.entries import Entry, Kind, child, children, integer, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lanspread_harness.fields import JsonObject

FAMILIES = ("stream-install", "download", "uninstall", "install", "remove")
"""The first part of the names of an operation's events."""

TERMINALS = frozenset({"finished", "failed", "cancelled", "all-peers-gone"})

INTERRUPTED = "interrupted"
"""The peer ended within the operation."""

UNFINISHED = "unfinished"
"""The history ends within the operation."""

OpenKey: TypeAlias = tuple[str, int, str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes that a source was newly credited with, and when."""

    at_us: int
    bytes: int


@dataclass(slots=True)
class Transfer:
    """What one source gave in one download. `source` is a peer of the lab, else a peer id.

    `bytes` are verified ones, and the sum of the samples.
    """

    source: str
    receiver: str
    game: str
    begin_us: int
    bytes: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def end_us(self) -> int:
        """When the last of them were reported."""
        return self.samples[-1].at_us if self.samples else self.begin_us


@dataclass(slots=True)
class Operation:
    """One operation; `begin` and `end` are the lines of its events in the history, where it has.

    One that ends without having begun has no duration. `outcome` is the last part of the name of
    its terminal event, or `interrupted`, or `unfinished`; `code` is why it failed.
    """

    peer: str
    run: int
    game: str
    name: str
    begin_us: int
    end_us: int
    begin: int | None = None
    end: int | None = None
    outcome: str = UNFINISHED
    code: str | None = None
    bytes: int | None = None
    transfers: dict[str, Transfer] = field(default_factory=dict)

    @property
    def duration_us(self) -> int:
        """From its first to its last event."""
        return self.end_us - self.begin_us


def operations(entries: Iterable[Entry]) -> list[Operation]:
    """All operations in the order in which they begin; `entries` in the order of their times."""
    reader = _Reader()
    for entry in entries:
        reader.take(entry)
    return reader.finish()


class _Reader:
    """Takes entries in the order of their times."""

    def __init__(self) -> None:
        self._found: list[Operation] = []
        self._open: dict[OpenKey, Operation] = {}
        self._names: dict[str, str] = {}
        self._active: dict[tuple[str, int], set[str]] = {}
        self._asked: dict[tuple[str, str], str] = {}
        self._last_us = 0

    def take(self, entry: Entry) -> None:
        self._last_us = max(self._last_us, entry.at_us)
        if entry.peer is None:
            return
        if entry.kind is Kind.COMMAND and entry.name in {"download", "update"}:
            self._asked[entry.peer, text(entry.data, "game_id") or ""] = entry.name
        elif entry.kind is Kind.READY:
            self._names[text(entry.body, "peer_id") or ""] = entry.peer
        elif entry.kind is Kind.EXIT:
            self._end_run(entry)
        elif entry.kind in {Kind.EVENT, Kind.PROGRESS}:
            self._event(entry, entry.peer)

    def finish(self) -> list[Operation]:
        for operation in self._open.values():
            operation.end_us = self._last_us
        return sorted(self._found, key=lambda operation: operation.begin_us)

    def _event(self, entry: Entry, peer: str) -> None:
        if entry.name == "local-games-updated":
            self._active[peer, entry.run] = {
                text(active, "game_id") or ""
                for active in children(entry.body, "active_operations")
                if text(active, "operation") == "updating"
            }
            return
        family = next((f for f in FAMILIES if entry.name.startswith(f"{f}-")), None)
        game = text(entry.body, "game_id")
        if family is None or game is None:
            return
        key = (peer, entry.run, family, game)
        part = entry.name.removeprefix(f"{family}-")
        if part == "begin":
            self._close(key, entry, UNFINISHED)
            self._begin(key, entry)
        elif part == "progress" and key in self._open:
            self._credit(self._open[key], entry)
        elif part in TERMINALS:
            operation = self._open.get(key) or self._begin(key, entry)
            self._credit(operation, entry)
            operation.end = entry.line
            operation.code = text(child(entry.body, "error"), "code")
            operation.bytes = integer(entry.body, "bytes") or operation.bytes
            self._close(key, entry, part)

    def _begin(self, key: OpenKey, entry: Entry) -> Operation:
        peer, run, family, game = key
        updating = game in self._active.get((peer, run), set())
        asked = self._asked.get((peer, game)) == "update"
        name = "update" if family == "download" and (updating or asked) else family
        operation = Operation(peer, run, game, name, entry.at_us, entry.at_us)
        if entry.name.endswith("-begin"):
            operation.begin = entry.line
            operation.bytes = integer(entry.body, "bytes")
        self._open[key] = operation
        self._found.append(operation)
        return operation

    def _close(self, key: OpenKey, entry: Entry, outcome: str) -> None:
        operation = self._open.pop(key, None)
        if operation is not None:
            operation.end_us = entry.at_us
            operation.outcome = outcome

    def _end_run(self, entry: Entry) -> None:
        for key in [key for key in self._open if key[:2] == (entry.peer, entry.run)]:
            self._close(key, entry, INTERRUPTED)

    def _credit(self, operation: Operation, entry: Entry) -> None:
        """Enter what each source gave since the record before; counts in records are totals."""
        for given in children(entry.body, "sources"):
            self._credit_source(operation, entry, given)

    def _credit_source(self, operation: Operation, entry: Entry, given: JsonObject) -> None:
        source_id = text(given, "peer_id") or ""
        transfer = operation.transfers.get(source_id)
        fresh = (integer(given, "bytes") or 0) - (0 if transfer is None else transfer.bytes)
        if fresh <= 0:
            return
        if transfer is None:
            source = self._names.get(source_id, source_id)
            transfer = Transfer(source, operation.peer, operation.game, operation.begin_us)
            operation.transfers[source_id] = transfer
        transfer.bytes += fresh
        transfer.samples.append(Sample(entry.at_us, fresh))
