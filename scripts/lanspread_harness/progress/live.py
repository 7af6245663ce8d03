"""A live table on a terminal: what runs, since when, and the last step of each."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lanspread_harness.progress.plain import PlainDisplay
from lanspread_harness.runner import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lanspread_harness.output import Sink
    from lanspread_harness.progress import Plan
    from lanspread_harness.runner import Outcome
    from lanspread_harness.schedule import Job

REDRAW_S = 0.25
"""Often enough to be followed, and next to no work."""

MIN_ROWS = 4


@dataclass(slots=True)
class Running:
    """One row of the table."""

    job: Job
    step: str = ""
    since: float = field(default_factory=time.monotonic)


class LiveDisplay(PlainDisplay):
    """The plain lines, with a table below them that is drawn anew all the time."""

    def __init__(self, out: Sink) -> None:
        super().__init__(out)
        self._running: dict[str, Running] = {}
        self._ended: list[State] = []
        self._total = 0
        self._drawn = 0
        self._began = time.monotonic()

    def run_started(self, plan: Plan) -> None:
        """Say what will run, and with which seed."""
        self._total = len(plan.jobs)
        super().run_started(plan)

    def started(self, job: Job) -> None:
        """Add a row."""
        self._running[job.label] = Running(job)

    def stepped(self, job: Job, step: str) -> None:
        """Change a row; drawn when it is time."""
        self._running[job.label].step = step

    def finished(self, outcome: Outcome) -> None:
        """Take a row away, and show the line that stays."""
        self._running.pop(outcome.job.label, None)
        self._ended.append(outcome.state)
        super().finished(outcome)

    def write(self, *lines: str) -> None:
        """Show lines above the table."""
        self._erase()
        super().write(*lines)

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Draw the table until this is closed."""
        drawing = asyncio.create_task(self._draw_on())
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])
            self._erase()

    async def _draw_on(self) -> None:
        while True:
            self._erase()
            size = shutil.get_terminal_size()
            rows = self.rows(time.monotonic(), size.columns, max(MIN_ROWS, size.lines - 2))
            self._out.write("".join(f"{row}\n" for row in rows))
            self._out.flush()
            self._drawn = len(rows)
            await asyncio.sleep(REDRAW_S)

    def rows(self, now: float, columns: int, limit: int) -> list[str]:
        """The table, within the size of the terminal: a row that wraps could not be erased."""
        failed = self._ended.count(State.FAILED)
        head = f"{len(self._ended)} of {self._total} done, {failed} failed, "
        head += f"{len(self._running)} running, {now - self._began:.0f} s"
        rows = [
            f"  {row.job.label:<6} {now - row.since:6.1f} s  {row.step or row.job.scenario.promise}"
            for row in sorted(self._running.values(), key=lambda row: row.since)
        ]
        if len(rows) >= limit:
            rows = [*rows[: limit - 2], f"  … and {len(rows) - limit + 2} more"]
        return [row[: columns - 1] for row in [head, *rows]]

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0
