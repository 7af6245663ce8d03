"""Plain lines: one as each scenario ends, and the table at the end."""

from __future__ import annotations

import shlex
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.run_summary import counts, finished_lines, flakes, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lanspread_harness.output import Sink
    from lanspread_harness.progress import Plan, Summary
    from lanspread_harness.runner import Outcome
    from lanspread_harness.schedule import Job


class PlainDisplay:
    """For files, pipes and terminals that take no control sequences."""

    def __init__(self, out: Sink) -> None:
        self._out = out

    def run_started(self, plan: Plan) -> None:
        """Say what will run, and with which seed."""
        self.write(heading(plan))

    def started(self, job: Job) -> None:
        """Nothing: a line at the end is enough."""

    def stepped(self, job: Job, step: str) -> None:
        """Nothing either."""

    def finished(self, outcome: Outcome) -> None:
        """One line, and for a failure its evidence."""
        self.write(*finished_lines(outcome))

    def run_finished(self, summary: Summary) -> None:
        """The table, where the files are, and the counts."""
        self.write(*closing(summary))

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Nothing changes by itself."""
        yield

    def write(self, *lines: str) -> None:
        """Show lines at once."""
        print(*lines, sep="\n", file=self._out, flush=True)


def heading(plan: Plan) -> str:
    """One line on what will run."""
    count = len(plan.jobs)
    part = f" (shard {plan.shard})" if plan.shard else ""
    return (
        f"{count} scenario{'s' * (count != 1)}{part} on {plan.backend}, up to {plan.budget.jobs} "
        f"at a time within {plan.budget.cores:g} cores and {plan.budget.memory_mib} MiB, "
        f"seed {plan.seed}"
    )


def closing(summary: Summary) -> list[str]:
    """Everything there is to say at the end; the counts are the last line."""
    lines = ["", *table(summary.outcomes), ""] if summary.outcomes else [""]
    lines.append(f"junit  {display_path(summary.junit)}")
    lines.append(f"report {display_path(summary.report)}")
    lines.append(f"took   {summary.duration_s:.1f} s")
    return [*lines, *flakes(summary.outcomes), counts(summary.outcomes)]


def display_path(path: Path) -> str:
    """A path as short as it can be pasted here."""
    here = Path.cwd()
    short = path.relative_to(here) if path.is_relative_to(here) else path
    return shlex.quote(str(short))
