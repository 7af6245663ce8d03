"""Lanspread with one source of several that fails in the midst of the download.

Four rows: nothing happens; the source says goodbye and is gone, which is a download without it
from that moment on; the switch drops all its packets without a word; what it sends is cut to a
hundredth.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING

from lanspread_bench.contestants.lanspread import Lanspread, data_of, prepared_for
from lanspread_bench.errors import MissedError
from lanspread_bench.figures import Column, sampled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lanspread_bench.arena import Arena, Contestant, Prepared
    from lanspread_bench.contestants.lanspread import Peer
    from lanspread_bench.figures import JsonObject, Sample
    from lanspread_bench.processes import Process, Processes

REPORTS_APART_S = 0.2
"""Twice what lies between two reports of a download: foreseen is what comes before the next one."""

CUT_TO = 100
"""What a source is cut to: one part of so many."""


class Fault(Enum):
    """What becomes of the source; the value is the row."""

    NONE = "undisturbed"
    LEAVES = "leaves"
    BLACK_HOLE = "blackholed"
    CUT = "cut to 1 %"


class Approach:
    """Foresees when a download will have a share of its bytes, from what it reports.

    Ten reports a second are too few to hit the last hundredth of a fast download, so the moment
    between two reports is reckoned from the speed that the last one tells.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._reports: list[tuple[float, float]] = []
        """When which share was done."""
        self._share_per_s = 0.0
        self._changed = asyncio.Event()

    def watch(self, event: JsonObject) -> None:
        """Take in an event of the receiver."""
        if event.get("event") != "download-progress":
            return
        data = data_of(event)
        done, total, speed = (
            float(str(data[key])) for key in ("bytes_done", "bytes_total", "bytes_per_second")
        )
        self.note(time.monotonic(), done / total, speed / total)

    def note(self, at: float, share: float, share_per_s: float) -> None:
        """A share was done at a time, at a speed."""
        self._reports.append((at, share))
        self._share_per_s = share_per_s
        self._changed.set()

    def due_at(self) -> float | None:
        """When the share is reached, as far as it can be foreseen."""
        if not self._reports:
            return None
        at, share = self._reports[-1]
        if share >= self.share:
            return at
        if self._share_per_s <= 0.0:
            return None
        due_at = at + (self.share - share) / self._share_per_s
        return due_at if due_at <= at + REPORTS_APART_S else None

    async def reached(self) -> None:
        """Wait for it."""
        while True:
            self._changed.clear()
            due_at = self.due_at()
            try:
                async with asyncio.timeout(due_at and max(0.0, due_at - time.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                return

    def share_at(self, at: float) -> float:
        """The share at a time, in a straight line between the reports before and after it."""
        before, share_before = 0.0, 0.0
        for after, share_after in self._reports:
            if after >= at:
                if before == 0.0:
                    return share_after
                return share_before + (share_after - share_before) * (at - before) / (
                    after - before
                )
            before, share_before = after, share_after
        return share_before


class Straggler(Lanspread):
    """Peers of one binary, and a fault of the last source at a share of the bytes."""

    def __init__(self, binary: Path, build: str, fault: Fault, share: float) -> None:
        row = fault.value if build == "lanspread" else f"{build}: {fault.value}"
        super().__init__(binary, build, name=row)
        self._fault = fault
        self._share = share

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """As for any download; the fault strikes within `go`, and is mended there."""
        sources, receivers = await self.start(arena, processes)
        (receiver,), straggler = receivers, sources[-1]
        approach = Approach(self._share)
        receiver.watchers.append(approach.watch)
        struck_at: list[float] = []
        received = 0

        async def strike() -> None:
            await approach.reached()
            await self._strike(straggler)
            struck_at.append(time.monotonic())

        async def go() -> Sequence[Process]:
            nonlocal received
            before = receiver.host.bytes_received()
            fault = asyncio.create_task(strike())
            try:
                await receiver.download(arena.content_id)
                received = receiver.host.bytes_received() - before
            finally:
                fault.cancel()
                await asyncio.wait([fault])
                straggler.host.recover()
            if not fault.cancelled():
                fault.result()
            return [receiver.process]

        def figures(sample: Sample) -> Mapping[str, float]:
            measured = {"received_percent": received * 100 / sample.bytes}
            if self._fault is not Fault.NONE:
                share = approach.share_at(struck_at[0]) if struck_at else 1.0
                if share >= 1.0:
                    raise MissedError("the download was done before the fault")
                measured["struck_at_percent"] = share * 100
            return measured

        prepared = prepared_for(arena, sources, receivers, go)
        prepared.figures = figures
        return prepared

    async def _strike(self, straggler: Peer) -> None:
        match self._fault:
            case Fault.NONE:
                pass
            case Fault.LEAVES:
                await straggler.command("shutdown")
            case Fault.BLACK_HOLE:
                straggler.host.black_hole()
            case Fault.CUT:
                straggler.host.slow_down(CUT_TO)


def rows(share: float, binary: Path, build: str) -> Sequence[Contestant]:
    """What is measured of one build at a share of the bytes."""
    return [Straggler(binary, build, fault, share) for fault in Fault]


def _longer(than: Fault, *, percent: bool) -> Column:
    def longer(samples: Mapping[str, Sample], name: str) -> float | None:
        baseline = samples.get(_of_same_build(name, than))
        if baseline is None or name.endswith((than.value, Fault.NONE.value)):
            return None
        seconds = samples[name].seconds - baseline.seconds
        return seconds * 100 / baseline.seconds if percent else seconds

    unit, suffix = ("%", "percent") if percent else ("s", "s")
    key = f"longer_than_{than.name.lower()}_{suffix}"
    return Column(f"vs {than.value} {unit}", key, longer, 1 if percent else 2)


def _duplicates(samples: Mapping[str, Sample], name: str) -> float | None:
    """What the receiver's link took in beyond that of the undisturbed download of the round."""
    baseline = samples.get(_of_same_build(name, Fault.NONE))
    if baseline is None or name.endswith(Fault.NONE.value):
        return None
    key = "received_percent"
    return samples[name].figures[key] - baseline.figures[key]


def _of_same_build(name: str, fault: Fault) -> str:
    build, colon, _ = name.rpartition(": ")
    return f"{build}{colon}{fault.value}"


COLUMNS = (
    sampled("struck at %", "struck_at_percent", 1),
    _longer(Fault.NONE, percent=False),
    _longer(Fault.NONE, percent=True),
    _longer(Fault.LEAVES, percent=False),
    _longer(Fault.LEAVES, percent=True),
    sampled("received %", "received_percent", 1),
    Column("duplicates %", "duplicates_percent", _duplicates, 1),
)
"""What a straggler costs."""
