"""What a `history.jsonl` tells: who did what when, on one clock.

The report, the trace tool and the evidence of a failure all read a history through `read_timeline`,
so that they never tell different stories.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.timeline.clocks import Clock, clocks
from lanspread_harness.timeline.commands import Command, commands
from lanspread_harness.timeline.entries import (
    RECORDS,
    Entry,
    Kind,
    RunKey,
    entry_of,
    read_lines,
    run_of,
)
from lanspread_harness.timeline.faults import Fault, faults
from lanspread_harness.timeline.operations import Operation, Sample, Transfer, operations

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "RECORDS",
    "Clock",
    "Command",
    "Entry",
    "Fault",
    "Kind",
    "Operation",
    "PeerRun",
    "RunKey",
    "Sample",
    "Timeline",
    "Transfer",
    "read_timeline",
]


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One process of a peer. `end_us` and `status` are absent where its end was not seen."""

    peer: str
    run: int
    begin_us: int
    end_us: int | None
    status: str | None
    clock: Clock | None
    records: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """A history in the order of its times. `unreadable` counts lines that were left out."""

    entries: list[Entry]
    runs: list[PeerRun]
    commands: list[Command]
    operations: list[Operation]
    faults: list[Fault]
    unreadable: int

    @property
    def peers(self) -> list[str]:
        """The names of all peers, the same way round in every run of a scenario: peer9, peer10."""
        return sorted({run.peer for run in self.runs}, key=_natural)

    @property
    def names(self) -> dict[str, str]:
        """The names of peers by the ids that they say they have."""
        ready = (entry for entry in self.entries if entry.kind is Kind.READY and entry.peer)
        return {str(entry.body.get("peer_id")): entry.peer or "" for entry in ready}

    @property
    def end_us(self) -> int:
        """The last moment that the history tells of."""
        return max((entry.logged_us for entry in self.entries), default=0)

    @property
    def transfers(self) -> list[Transfer]:
        """What each source gave in each download, by the time of the download."""
        return [
            transfer for operation in self.operations for transfer in operation.transfers.values()
        ]

    @property
    def failure(self) -> Entry | None:
        """The moment of the first failure."""
        return next((entry for entry in self.entries if entry.kind is Kind.FAILURE), None)


def read_timeline(history: Path) -> Timeline:
    """Read a history. Raises `OSError` where it cannot be opened."""
    lines, unreadable = read_lines(history)
    by_run = clocks(lines)
    entries = []
    for line in lines:
        key = run_of(line)
        clock = None if key is None else by_run.get(key)
        entries.append(entry_of(line, None if clock is None else clock.offset_us))
    entries.sort(key=lambda entry: (entry.at_us, entry.line))
    return Timeline(
        entries=entries,
        runs=_runs(entries, by_run),
        commands=commands(entries),
        operations=operations(entries),
        faults=faults(entries),
        unreadable=unreadable,
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers within a name as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _runs(entries: list[Entry], by_run: dict[RunKey, Clock]) -> list[PeerRun]:
    of_run: dict[RunKey, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.peer is not None:
            of_run[entry.peer, entry.run].append(entry)
    found = []
    for (peer, run), its in of_run.items():
        starts = [entry.at_us for entry in its if entry.kind is Kind.START]
        exits = [entry for entry in its if entry.kind is Kind.EXIT]
        clock = by_run.get((peer, run))
        # The runner notes a start once the process is there, which may be after its clock began.
        begins = starts + ([clock.offset_us] if clock else [])
        found.append(
            PeerRun(
                peer=peer,
                run=run,
                begin_us=min(begins, default=its[0].at_us),
                end_us=exits[-1].at_us if exits else None,
                status=exits[-1].name if exits else None,
                clock=clock,
                records=sum(entry.kind in RECORDS for entry in its),
            )
        )
    return found
