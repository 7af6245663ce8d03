"""One JSON object a line for each change of state, for programs; nothing else is printed.

`docs/scenarios.md` describes the objects.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lanspread_harness.run_summary import flaky_ids, skipped_count, unfinished_count
from lanspread_harness.runner import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lanspread_harness.fields import JsonObject
    from lanspread_harness.output import Sink
    from lanspread_harness.progress import Plan, Summary
    from lanspread_harness.runner import Outcome
    from lanspread_harness.schedule import Job


class JsonDisplay:
    """Writes the lines."""

    def __init__(self, out: Sink) -> None:
        self._out = out

    def run_started(self, plan: Plan) -> None:
        """`run-started`."""
        self._write(
            "run-started",
            {
                "run": plan.run_id,
                "backend": plan.backend,
                "seed": plan.seed,
                "shard": str(plan.shard) if plan.shard else None,
                "directory": str(plan.directory),
                "scenarios": [job.label for job in plan.jobs],
            },
        )

    def started(self, job: Job) -> None:
        """`scenario-started`."""
        self._write("scenario-started", _job(job))

    def stepped(self, job: Job, step: str) -> None:
        """Nothing: steps are in the history."""

    def finished(self, outcome: Outcome) -> None:
        """`scenario-finished`."""
        failure: JsonObject | None = None
        if outcome.failure is not None:
            failure = {
                "expected": outcome.failure.expectation,
                "evidence": list(outcome.failure.lines),
                "artefacts": str(outcome.failure.artefacts),
                "command": outcome.failure.command,
            }
        self._write(
            "scenario-finished",
            {
                **_job(outcome.job),
                "backend": outcome.backend,
                "state": outcome.state.value,
                "duration_s": round(outcome.duration_s, 3),
                "reason": outcome.reason,
                "measured": list(outcome.figures),
                "failure": failure,
            },
        )

    def run_finished(self, summary: Summary) -> None:
        """`run-finished`."""
        states = [outcome.state for outcome in summary.outcomes]
        flaky = flaky_ids(summary.outcomes)
        self._write(
            "run-finished",
            {
                "passed": states.count(State.PASSED),
                "failed": states.count(State.FAILED),
                "skipped": skipped_count(summary.outcomes),
                "unfinished": unfinished_count(summary.outcomes),
                "flaky": list(flaky),
                "interrupted": summary.interrupted,
                "exit_status": summary.exit_status,
                "duration_s": round(summary.duration_s, 3),
                "junit": str(summary.junit),
                "report": str(summary.report),
            },
        )

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Nothing changes by itself."""
        yield

    def _write(self, event: str, data: JsonObject) -> None:
        print(json.dumps({"event": event, **data}), file=self._out, flush=True)


def _job(job: Job) -> JsonObject:
    return {
        "scenario": job.scenario.id,
        "label": job.label,
        "promise": job.scenario.promise,
        "repetition": job.repetition,
        "seed": job.seed,
    }
