"""The run of one test with a lab: its loop, its lab, and what is kept where it fails.

The plugin makes a `LabTestRun` for each such test, and a `SessionContext` once. It neither collects
tests nor shows failures. The end of the lab counts for the test.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lanspread_harness.errors import ScenarioError
from lanspread_harness.evidence import Failure, take_evidence
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.pytest_lab.one_task import OneTask
from lanspread_harness.pytest_lab.outcomes import (
    as_scenario_error,
    is_mild,
    members,
    unwrapped,
    verdict,
)
from lanspread_harness.run_directory import PEERS

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from lanspread_harness.backends import Backend
    from lanspread_harness.lab import Lab
    from lanspread_harness.schema import Schema

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The binary, backend and seed that all labs of a pytest session share."""

    binary: Path
    schema: Schema
    backend: Backend
    seed: int
    keep: bool


class LabTestRun:
    """Runs a test and its fixtures, with a lab or, until it is opened, without.

    The lab ends with the test, so that what its peers do at their end counts for the test. Where
    fixtures hold it, it lasts until they are through.
    """

    def __init__(self, timeout_s: float) -> None:
        self.held = False
        """Whether fixtures use the lab, so that it outlasts the test."""
        self.lab: Lab | None = None
        self.settings: LabSettings | None = None
        self.session: SessionContext | None = None
        self._timeout_s = timeout_s
        self._task = OneTask()
        self._manager: AbstractAsyncContextManager[Lab] | None = None
        self._raised: BaseException | None = None
        self._marked = False
        self._failure: tuple[ScenarioError, str] | None = None

    def open(self, session: SessionContext, settings: LabSettings) -> Lab:
        """Open the lab."""
        self.settings = settings
        self.session = session
        manager = open_lab(settings, session.backend, session.schema)
        self.lab = self._task.run(self._step(manager.__aenter__(), "opening the lab", False))
        self._manager = manager
        return self.lab

    def run_test(self, test: Coroutine[Any, Any, T]) -> T:
        """Run the test and, unless fixtures hold the lab, end it."""
        return self._task.run(self._step(test, "the test", not self.held))

    def run_fixture(self, fixture: Coroutine[Any, Any, T], what: str) -> T:
        """Run a step of a fixture; it may take as long as a test."""
        return self._task.run(self._step(fixture, what, False))

    def interrupt(self, error: BaseException) -> bool:
        """From another thread, end the step that runs; tells whether one does."""
        return self._task.interrupt(error)

    def end_lab(self) -> None:
        """End the lab where the test did not."""
        if self._manager is not None:
            self._task.run(self._end() if self._raised else self._step(_nothing(), "the lab", True))

    def close(self) -> None:
        """Close the loop."""
        self._task.close()

    def take_evidence(self, error: ScenarioError, command: str) -> Failure | None:
        """Write down why the test failed; `None` where it had no lab yet.

        Where the lab is still open, `clear` writes it once more, when the history is whole.
        """
        if self.settings is None:
            return None
        self._mark(error.expectation)
        self._failure = error, command
        return take_evidence(self.settings.directory, error, command).failure

    def clear(self, *, interrupted: bool = False) -> None:
        """Of a failure keep the records, not the disks; of a success nothing.

        What was interrupted may be a failure that nobody waited for.
        """
        if self.settings is None:
            return
        directory = self.settings.directory
        if self._failure is not None and self.held:
            take_evidence(directory, *self._failure)
        if self.session is not None and not self.session.keep:
            keep_records = interrupted or self._failure is not None
            unwanted = directory / PEERS if keep_records else directory
            shutil.rmtree(unwanted, ignore_errors=True)

    async def _step(self, body: Coroutine[Any, Any, T], what: str, closes: bool) -> T:
        """Run a step, and close the lab after it, as far as it `closes`."""
        try:
            return await self._in_time(body, what, closes=closes)
        except BaseException as error:  # noqa: BLE001 - raised below, where its own context stays
            raised = error
        if not isinstance(raised, asyncio.CancelledError) and not is_mild(raised):
            self._mark(as_scenario_error(unwrapped(raised)).expectation)
        # A task group that gives up cancels its task, and tells why only when it is left.
        closes = closes or isinstance(raised, asyncio.CancelledError)
        if closes and self.lab is not None and self._manager is None:
            problem = verdict(None, members(raised))
        else:
            problem = verdict(raised, await self._close(raised) if closes else [])
        self._raised = problem or raised
        raise self._raised

    async def _in_time(self, body: Coroutine[Any, Any, T], what: str, *, closes: bool) -> T:
        if self._task.cancelled and self._manager is not None:
            body.close()
            raise asyncio.CancelledError
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                result = await body
                if closes and self._manager is not None:
                    manager, self._manager = self._manager, None
                    await manager.__aexit__(None, None, None)
                return result
        except TimeoutError as error:
            if not deadline.expired():
                raise
            expectation = f"{what} ends within {self._timeout_s:g} s"
            raise ScenarioError(expectation, ["it still runs"]) from error

    async def _end(self) -> None:
        """Close the lab after a failure that was told already; what is new is raised."""
        others = await self._close(self._raised)
        problem = verdict(None, others)
        if problem is not None:
            raise problem

    async def _close(self, raised: BaseException | None) -> list[BaseException]:
        """Close the lab because of an exception, and return what else is raised."""
        manager, self._manager = self._manager, None
        if manager is None or raised is None:
            return []
        try:
            await manager.__aexit__(type(raised), raised, raised.__traceback__)
        except BaseException as closing:  # noqa: BLE001 - weighed against the other one
            return [error for error in members(closing) if error is not raised]
        return []

    def _mark(self, expectation: str) -> None:
        if self.lab is not None and self._manager is not None and not self._marked:
            self._marked = True
            self.lab.mark_failure(expectation)


async def _nothing() -> None:
    pass
