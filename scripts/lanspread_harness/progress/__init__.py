"""What a run shows while it lasts and at its end: plain lines, a live table, or JSON.

A `Display` is told of everything that happens, and writes it in its own way to standard output.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lanspread_harness.runner import Observer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from lanspread_harness.runner import Outcome
    from lanspread_harness.schedule import Budget, Job, Shard


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to do."""

    run_id: str
    backend: str
    seed: int
    jobs: Sequence[Job]
    budget: Budget
    shard: Shard | None
    directory: Path


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done."""

    outcomes: Sequence[Outcome]
    duration_s: float
    junit: Path
    report: Path
    exit_status: int
    interrupted: bool


class Display(Observer, Protocol):
    """One way of showing a run."""

    def run_started(self, plan: Plan) -> None:
        """The run begins."""
        ...

    def run_finished(self, summary: Summary) -> None:
        """The run is over and all its files are written."""
        ...

    def live(self) -> AbstractAsyncContextManager[None]:
        """While this is open, what is shown may change by itself."""
        ...


def make_display(*, json: bool) -> Display:
    """The display for standard output: a live table only where a terminal can show one."""
    from lanspread_harness.progress.json_lines import JsonDisplay
    from lanspread_harness.progress.live import LiveDisplay
    from lanspread_harness.progress.plain import PlainDisplay

    if json:
        return JsonDisplay(sys.stdout)
    if sys.stdout.isatty() and can_redraw(os.environ.get("TERM"), os.environ.get("NO_COLOR")):
        return LiveDisplay(sys.stdout)
    return PlainDisplay(sys.stdout)


def can_redraw(term: str | None, no_color: str | None) -> bool:
    """Whether a terminal takes control sequences, and its user wants them."""
    return term not in (None, "", "dumb") and not no_color
