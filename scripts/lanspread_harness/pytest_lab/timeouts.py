"""Timeouts of pytest-timeout that come from a thread.

Its own way to end a test from a thread is to end the process, which leaves no report, no evidence
and no next test. A test that waits in its loop can be ended alone; only one that holds the loop
up ends as the plugin would have it.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lanspread_harness.pytest_lab.lab_test_run import LabTestRun

GRACE_S = 30.0
"""How long a test that was told to end may take, the end of its lab and fixtures included."""


class Settings(Protocol):
    """What pytest-timeout knows of the timeout of a test."""

    timeout: float
    method: str
    disable_debugger_detection: bool


class Timer:
    """Ends a test after its time."""

    def __init__(
        self,
        settings: Settings,
        test_run: Callable[[], LabTestRun | None],
        give_up: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._test_run = test_run
        self._give_up = give_up
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """The test is over."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._over.wait(self._settings.timeout) or self._is_debugged():
            return
        # The words of pytest-timeout.
        words = f"Timeout (>{self._settings.timeout}s) from pytest-timeout."
        test_run = self._test_run()
        failed = pytest.fail.Exception(words, pytrace=False)
        interrupted = test_run is not None and test_run.interrupt(failed)
        if not interrupted or not self._over.wait(GRACE_S):
            self._give_up(words)

    def _is_debugged(self) -> bool:
        if self._settings.disable_debugger_detection:
            return False
        detect: Callable[[], bool] = sys.modules["pytest_timeout"].is_debugging
        return detect()
