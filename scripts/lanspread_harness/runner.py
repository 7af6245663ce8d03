"""Runs scenarios side by side and keeps what each of them leaves."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import time
import traceback
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lanspread_harness.errors import HarnessError, ProtocolError, ScenarioError
from lanspread_harness.lab import Lab, LabSettings, open_lab
from lanspread_harness.run_directory import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lanspread_harness.backends import Backend
    from lanspread_harness.scenario import Scenario
    from lanspread_harness.schema import Schema

MAX_LISTED_FILES = 2000
"""How much of the peers' disks `disk.txt` shows; a failed scenario of many files stays readable."""


class State(StrEnum):
    """How a scenario ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a scenario failed, and where to look further."""

    expectation: str
    evidence: tuple[str, ...]
    artefacts: Path
    command: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scenario; `reason` says why it did not run."""

    scenario: Scenario
    backend: str
    state: State
    duration_s: float = 0
    failure: Failure | None = None
    reason: str | None = None


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
        failure = await self._attempt(scenario)
        state = State.PASSED if failure is None else State.FAILED
        duration_s = time.monotonic() - started
        return Outcome(scenario, self._backend.name, state, duration_s, failure)

    async def _attempt(self, scenario: Scenario) -> Failure | None:
        directory = self._settings.directory / scenario.id
        settings = LabSettings(
            lab_id=f"lab-{self._settings.run_id}-{scenario.id.lower()}",
            seed=self._settings.seed,
            directory=directory,
            binary=self._settings.binary,
        )
        failure: Failure | None = None
        try:
            error = await self._run_in_lab(scenario, settings)
            if error is not None:
                failure = self._record_failure(scenario, directory, error)
        finally:
            if not self._settings.keep:
                # Freeing gigabytes can take seconds, in which other scenarios must go on.
                await asyncio.to_thread(shutil.rmtree, directory / PEERS, ignore_errors=True)
        if self._settings.keep:
            self._write_repro(scenario, directory)
        elif failure is None:
            shutil.rmtree(directory)
        return failure

    async def _run_in_lab(self, scenario: Scenario, settings: LabSettings) -> ScenarioError | None:
        labs: list[Lab] = []
        try:
            async with (
                asyncio.timeout(scenario.meta.timeout_s),
                open_lab(settings, self._backend, self._schema) as lab,
            ):
                labs.append(lab)
                await scenario.body(lab)
        except TimeoutError:
            error = ScenarioError(f"the scenario ends within {scenario.meta.timeout_s:g} s")
        except HarnessError as raised:
            error = _as_scenario_error(raised)
        except ExceptionGroup as group:
            error = _as_scenario_error(_cause(group))
        else:
            return None
        known = set(error.evidence)
        records = [line for lab in labs for line in lab.evidence() if line not in known]
        return ScenarioError(error.expectation, [*error.evidence, *records])

    def _record_failure(self, scenario: Scenario, directory: Path, error: ScenarioError) -> Failure:
        _write_disk_listing(directory)
        command = self._write_repro(scenario, directory)
        report = "\n".join([error.expectation, *error.evidence, ""])
        (directory / "failure.txt").write_text(report, encoding="utf-8")
        return Failure(error.expectation, error.evidence, directory, command)

    def _write_repro(self, scenario: Scenario, directory: Path) -> str:
        command = shlex.join([*self._settings.command, scenario.id, "--keep"])
        script = directory / "repro.sh"
        repository = shlex.quote(str(self._settings.repository))
        script.write_text(f"#!/bin/sh\ncd {repository} && exec {command}\n", encoding="utf-8")
        script.chmod(0o755)
        return command


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a failure comes from, when one failure made others.

    A broken rule of the protocol explains what was waited for in vain, so it goes first.
    """
    leaves = list(_leaves(group))
    for leaf in leaves:
        if isinstance(leaf, ProtocolError):
            return leaf
    return leaves[0]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for child in error.exceptions for leaf in _leaves(child)]
    return [error]


def _as_scenario_error(error: BaseException) -> ScenarioError:
    if isinstance(error, ScenarioError):
        return error
    trace = "".join(traceback.format_exception(error)).splitlines()
    return ScenarioError("the scenario runs without an error of its own", trace)


def _write_disk_listing(directory: Path) -> None:
    lines: list[str] = []
    for path in sorted((directory / PEERS).rglob("*")):
        name = path.relative_to(directory)
        lines.append(f"{name}/" if path.is_dir() else f"{name} {path.lstat().st_size}")
    if len(lines) > MAX_LISTED_FILES:
        lines = [*lines[:MAX_LISTED_FILES], f"… and {len(lines) - MAX_LISTED_FILES} more"]
    (directory / "disk.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
