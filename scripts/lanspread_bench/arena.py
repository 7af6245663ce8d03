"""Where one transfer happens, and how it is timed: the same for every contestant."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lanspread_bench.contents import differs, read_all, size_of
from lanspread_bench.errors import BenchError
from lanspread_bench.figures import Sample
from lanspread_bench.processes import Cost, processes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from lanspread_bench.network import Host
    from lanspread_bench.processes import Process, Processes


TRANSFER_TIMEOUT_S = 900.0
"""Longest transfer: 16 leechers that all fetch from one seed at 100 Mbit/s, with room to spare."""


@dataclass(frozen=True, slots=True)
class Arena:
    """The hosts, the content and the disk of one transfer."""

    sources: Sequence[Host]
    receivers: Sequence[Host]
    content_id: str
    root: Path
    """Where the content is, for all sources."""
    catalog: Path
    directory: Path
    """For this transfer alone; the disk is the same for all."""
    kept: Path
    """For what a contestant prepares once and uses in every round."""
    late_s: float | None = None
    """When the last source comes to the knowledge of the receivers; `None` is at the start."""

    def destination(self, receiver: Host) -> Path:
        """Where a receiver puts its copy. Not made."""
        return self.directory / receiver.name

    def early_sources(self) -> Sequence[Host]:
        """The sources that are known from the start."""
        return self.sources if self.late_s is None else self.sources[:-1]


@dataclass(slots=True)
class Prepared:
    """A contestant that only waits for the start."""

    sources: Sequence[Process]
    go: Callable[[], Awaitable[Sequence[Process]]]
    """Transfers, and returns the receivers."""
    copies: Sequence[Path]
    """Where the copies will be; empty where nothing is stored."""
    receivers: Sequence[Process] = ()
    """Receivers that run before the start, whose cost until then does not count."""
    figures: Callable[[Sample], Mapping[str, float]] = lambda _: {}
    """What is measured beside what is measured for all; called after the transfer."""


class Contestant(Protocol):
    """One way of moving a game."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def notes(self) -> str:
        """What it verifies and what it makes durable, in words."""
        ...

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Bring everything to where only the transfer itself is missing."""
        ...


async def transfer(contestant: Contestant, arena: Arena) -> Sample:
    """Let one contestant transfer, and check what came of it."""
    size = size_of(arena.root)
    read_all(arena.root)
    arena.directory.mkdir(parents=True)
    try:
        async with processes(arena.directory / "logs") as started:
            prepared = await contestant.prepare(arena, started)
            # Whatever was written before must not be written back meanwhile.
            os.sync()
            sent_before = arena.sources[0].bytes_sent()
            sources_before = _sum(prepared.sources)
            receivers_before = _sum(prepared.receivers)
            began = time.monotonic()
            try:
                async with asyncio.timeout(TRANSFER_TIMEOUT_S):
                    receivers = await prepared.go()
            except TimeoutError as error:
                raise BenchError(f"not done after {TRANSFER_TIMEOUT_S:.0f} s") from error
            seconds = time.monotonic() - began
            sources_cost = _sum(prepared.sources).since(sources_before)
            receivers_cost = _sum(receivers).since(receivers_before)
            sent = arena.sources[0].bytes_sent() - sent_before
        began = time.monotonic()
        os.sync()
        sync_seconds = time.monotonic() - began if prepared.copies else 0.0
        for copy in prepared.copies:
            if difference := differs(arena.root, copy):
                raise BenchError(f"the copy is wrong: {difference}")
    finally:
        shutil.rmtree(arena.directory, ignore_errors=True)
    sample = Sample(
        bytes=size * len(arena.receivers),
        seconds=seconds,
        sync_seconds=sync_seconds,
        sources=sources_cost,
        receivers=receivers_cost,
        seed_bytes_sent=sent,
    )
    return replace(sample, figures=prepared.figures(sample))


def _sum(all_of: Sequence[Process]) -> Cost:
    """The CPU time of all together, and the memory of the one that took most."""
    costs = [process.cost() for process in all_of]
    return Cost(
        sum(cost.cpu_s for cost in costs),
        max((cost.peak_rss_bytes for cost in costs), default=0),
    )
