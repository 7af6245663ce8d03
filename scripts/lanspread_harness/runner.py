"""Runs scenarios side by side and keeps what each of them leaves.

`schedule` says which job is next, `open_lab` gives it a world, `evidence` keeps its failure, and an
`Observer` hears of it. Whatever goes wrong in a job fails that job and no other. Exit status and
files of the whole run are the business of `cli`.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from lanspread_harness.errors import ScenarioError
from lanspread_harness.evidence import (
    Evidence,
    Failure,
    failure_of,
    gather_evidence,
    scenario_error,
    write_evidence,
    write_repro,
)
from lanspread_harness.host_locks import (
    ALONE_LOCK,
    ALONE_WAIT_S,
    CORES_WAIT_S,
    hold_lock,
    reserve_cores,
)
from lanspread_harness.host_resources import count_cores
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.output import print_stderr
from lanspread_harness.run_directory import PEERS
from lanspread_harness.schedule import in_order, next_to_begin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lanspread_harness.backends import Backend
    from lanspread_harness.report.packing import Packed
    from lanspread_harness.scenario import Scenario
    from lanspread_harness.schedule import Budget, Job
    from lanspread_harness.schema import Schema


class State(StrEnum):
    """How a scenario ended. `NOT_RUN` is also one that the end of the run left unfinished."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job; `reason` says why it did not run."""

    job: Job
    backend: str
    state: State
    duration_s: float = 0
    failure: Failure | None = None
    reason: str | None = None
    timeline: Packed | None = None
    """What the report shows of it, packed; absent where it did not run."""
    figures: tuple[str, ...] = ()
    """What it measured, in words."""
    interrupted: bool = False
    """Whether the run ended before it did: nothing is known of it."""

    @property
    def scenario(self) -> Scenario:
        """The scenario that it is an execution of."""
        return self.job.scenario


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a run is made with."""

    run_id: str
    directory: Path
    budget: Budget
    keep: bool
    fail_fast: bool
    binary: Path
    repository: Path
    command: tuple[str, ...]
    """How the runner is started in the repository, up to the seed and the scenario's name."""
    durations_s: Mapping[str, float] = field(default_factory=dict)
    """How long scenarios took before, by id."""
    long_minutes: float = 0
    """How long a long scenario goes on."""
    is_hostile: bool = False
    """Whether scenarios that can go either way are attacked."""


class Observer(Protocol):
    """Receives what happens to the jobs of a run."""

    def started(self, job: Job) -> None:
        """A job began."""
        ...

    def stepped(self, job: Job, step: str) -> None:
        """Something happened in it: a step, a command or a fault, in a few words."""
        ...

    def finished(self, outcome: Outcome) -> None:
        """A job ended, or will not run."""
        ...


class Runner:
    """Runs jobs on one backend, side by side as far as the budget goes."""

    def __init__(
        self, settings: RunSettings, backend: Backend, schema: Schema, observer: Observer
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._schema = schema
        self._observer = observer
        self._outcomes: dict[str, Outcome] = {}

    async def run(self, jobs: Sequence[Job]) -> None:
        """Run them all; `outcomes` tells what became of them, also after a cancellation.

        With `fail_fast` those that did not begin before the first failure are not run.
        """
        waiting = in_order(jobs, self._settings.durations_s)
        running: dict[asyncio.Task[None], Job] = {}
        async with asyncio.TaskGroup() as tasks:
            while waiting or running:
                while job := next_to_begin(waiting, list(running.values()), self._settings.budget):
                    waiting.remove(job)
                    running[tasks.create_task(self._work(job), name=job.label)] = job
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    del running[task]

    def outcomes(self, jobs: Sequence[Job]) -> list[Outcome]:
        """What became of these jobs, in the order given; those not ended were interrupted."""
        return [self._outcomes.get(job.label) or self._unfinished(job) for job in jobs]

    async def _work(self, job: Job) -> None:
        outcome = self._refused(job)
        if outcome is None:
            # Other runs on this machine share it, and make room for what must run alone.
            meta, budget = job.scenario.meta, self._settings.budget
            async with (
                hold_lock(ALONE_LOCK, shared=not meta.alone, wait_s=ALONE_WAIT_S),
                reserve_cores(
                    meta.cores / budget.cores, of_cores=count_cores(), wait_s=CORES_WAIT_S
                ),
            ):
                # Another may have failed while this one waited.
                outcome = self._refused(job) or await self._ran(job)
        self._outcomes[job.label] = outcome
        self._observer.finished(outcome)

    async def _ran(self, job: Job) -> Outcome:
        self._observer.started(job)
        started = time.monotonic()
        figures: list[str] = []
        evidence = await self._evidence(job, figures)
        return Outcome(
            job,
            self._backend.name,
            State.PASSED if evidence.failure is None else State.FAILED,
            time.monotonic() - started,
            evidence.failure,
            timeline=evidence.timeline,
            figures=tuple(figures),
        )

    def _refused(self, job: Job) -> Outcome | None:
        failed = any(outcome.state is State.FAILED for outcome in self._outcomes.values())
        if self._settings.fail_fast and failed:
            return self._not_run(job, "an earlier scenario failed")
        reason = self._backend.unsupported(job.scenario.meta.needs)
        if reason is not None:
            return Outcome(job, self._backend.name, State.UNSUPPORTED, reason=reason)
        return None

    def _not_run(self, job: Job, reason: str) -> Outcome:
        return Outcome(job, self._backend.name, State.NOT_RUN, reason=reason)

    def _unfinished(self, job: Job) -> Outcome:
        return replace(self._not_run(job, "the run was interrupted"), interrupted=True)

    async def _evidence(self, job: Job, figures: list[str]) -> Evidence:
        """What a job leaves. Whatever goes wrong in it is its failure, and ends no other job."""
        try:
            return await self._attempt(job, figures)
        except Exception as raised:  # noqa: BLE001
            error = scenario_error(raised)
            directory = self._settings.directory / job.label
            return Evidence(failure_of(directory, error, error.records, self._command(job)), None)

    async def _attempt(self, job: Job, figures: list[str]) -> Evidence:
        directory = self._settings.directory / job.label
        settings = LabSettings(
            lab_id=f"lab-{self._settings.run_id}-{job.label.lower()}",
            seed=job.seed,
            directory=directory,
            binary=self._settings.binary,
            minutes=self._settings.long_minutes if job.scenario.meta.long else 0,
            is_hostile=self._settings.is_hostile,
            watch=lambda step: self._observer.stepped(job, step),
            figures=figures,
        )
        try:
            error = await self._run_in_lab(job.scenario, settings)
            command = self._command(job)
            evidence = await asyncio.to_thread(gather_evidence, directory, error, command)
        finally:
            if not self._settings.keep:
                # Freeing gigabytes can take seconds, in which other scenarios must go on.
                await asyncio.to_thread(shutil.rmtree, directory / PEERS, ignore_errors=True)
        # Only now is there room on a disk that the peers have filled.
        evidence = await asyncio.to_thread(write_evidence, directory, evidence)
        try:
            if self._settings.keep or evidence.failure is not None:
                write_repro(directory, self._settings.repository, command)
            else:
                shutil.rmtree(directory)
        except OSError as trouble:
            print_stderr(f"{job.label}: {trouble}")
        return evidence

    async def _run_in_lab(self, scenario: Scenario, settings: LabSettings) -> ScenarioError | None:
        timeout_s = scenario.meta.timeout_s + settings.minutes * 60
        try:
            async with (
                asyncio.timeout(timeout_s) as deadline,
                open_lab(settings, self._backend, self._schema) as lab,
            ):
                await scenario.body(lab)
        except Exception as raised:  # noqa: BLE001
            # Also of the system, such as a full disk: a scenario fails by it, and no other does.
            if isinstance(raised, TimeoutError) and deadline.expired():
                return ScenarioError(f"the scenario ends within {timeout_s:g} s", ["it still runs"])
            return scenario_error(raised)
        return None

    def _command(self, job: Job) -> str:
        """What runs just this job again, with the same seed and backend."""
        long = ["--long-minutes", f"{self._settings.long_minutes:g}"] * job.scenario.meta.long
        hostile = ["--hostile"] * self._settings.is_hostile
        options = ["--seed", str(job.seed), *long, *hostile]
        return shlex.join([*self._settings.command, *options, job.scenario.id, "--keep"])
