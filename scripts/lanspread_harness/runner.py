"""Runs scenarios side by side and keeps what each of them leaves."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lanspread_harness.errors import HarnessError, ScenarioError
from lanspread_harness.evidence import (
    Evidence,
    Failure,
    scenario_error,
    take_evidence,
    write_repro,
)
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.run_directory import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lanspread_harness.backends import Backend
    from lanspread_harness.report.packing import Packed
    from lanspread_harness.scenario import Scenario
    from lanspread_harness.schema import Schema


class State(StrEnum):
    """How a scenario ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scenario; `reason` says why it did not run."""

    scenario: Scenario
    backend: str
    state: State
    duration_s: float = 0
    failure: Failure | None = None
    reason: str | None = None
    timeline: Packed | None = None
    """What the report shows of it, packed; absent where it did not run."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a run is made with."""

    run_id: str
    directory: Path
    seed: int
    jobs: int
    keep: bool
    fail_fast: bool
    binary: Path
    repository: Path
    command: tuple[str, ...]
    """How the runner is started in the repository, up to the scenario's name."""


class Runner:
    """Runs scenarios on one backend, longest first, at most `jobs` at a time."""

    def __init__(
        self,
        settings: RunSettings,
        backend: Backend,
        schema: Schema,
        finished: Callable[[Outcome], None],
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._schema = schema
        self._finished = finished
        self._outcomes: dict[str, Outcome] = {}

    async def run(self, scenarios: Sequence[Scenario]) -> list[Outcome]:
        """Run them all and return their outcomes in the order given.

        With `fail_fast` those that did not begin before the first failure are not run.
        """
        queue = sorted(scenarios, key=lambda s: -s.meta.timeout_s)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._settings.jobs, len(queue))):
                workers.create_task(self._work(queue))
        return [self._outcomes[scenario.id] for scenario in scenarios]

    async def _work(self, queue: list[Scenario]) -> None:
        while queue:
            scenario = queue.pop(0)
            outcome = await self._outcome(scenario)
            self._outcomes[scenario.id] = outcome
            self._finished(outcome)

    async def _outcome(self, scenario: Scenario) -> Outcome:
        failed = any(outcome.state is State.FAILED for outcome in self._outcomes.values())
        if self._settings.fail_fast and failed:
            reason = "an earlier scenario failed"
            return Outcome(scenario, self._backend.name, State.NOT_RUN, reason=reason)
        reason_unsupported = self._backend.unsupported(scenario.meta.needs)
        if reason_unsupported is not None:
            return Outcome(
                scenario, self._backend.name, State.UNSUPPORTED, reason=reason_unsupported
            )
        started = time.monotonic()
        evidence = await self._attempt(scenario)
        duration_s = time.monotonic() - started
        state = State.PASSED if evidence.failure is None else State.FAILED
        return Outcome(
            scenario,
            self._backend.name,
            state,
            duration_s,
            evidence.failure,
            timeline=evidence.timeline,
        )

    async def _attempt(self, scenario: Scenario) -> Evidence:
        directory = self._settings.directory / scenario.id
        settings = LabSettings(
            lab_id=f"lab-{self._settings.run_id}-{scenario.id.lower()}",
            seed=self._settings.seed,
            directory=directory,
            binary=self._settings.binary,
        )
        try:
            error = await self._run_in_lab(scenario, settings)
            command = self._command(scenario)
            evidence = await asyncio.to_thread(take_evidence, directory, error, command)
        finally:
            if not self._settings.keep:
                # Freeing gigabytes can take seconds, in which other scenarios must go on.
                await asyncio.to_thread(shutil.rmtree, directory / PEERS, ignore_errors=True)
        if self._settings.keep or evidence.failure is not None:
            write_repro(directory, self._settings.repository, command)
        else:
            shutil.rmtree(directory)
        return evidence

    async def _run_in_lab(self, scenario: Scenario, settings: LabSettings) -> ScenarioError | None:
        try:
            async with (
                asyncio.timeout(scenario.meta.timeout_s),
                open_lab(settings, self._backend, self._schema) as lab,
            ):
                await scenario.body(lab)
        except TimeoutError:
            return ScenarioError(f"the scenario ends within {scenario.meta.timeout_s:g} s")
        except HarnessError as raised:
            return scenario_error(raised)
        except ExceptionGroup as group:
            return scenario_error(group)
        return None

    def _command(self, scenario: Scenario) -> str:
        """What runs just this scenario again, with the same seed and backend."""
        return shlex.join([*self._settings.command, scenario.id, "--keep"])
