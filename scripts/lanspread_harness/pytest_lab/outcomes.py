"""Which exception a test ends with, of all that a test and the end of its lab raise.

pytest knows outcomes by the type of one exception: `pytest.skip`, `pytest.xfail`, `pytest.fail`,
`pytest.exit`. A task group hands on exceptions only in groups, and the lab has one. So the one that
tells most is taken out.
"""

from __future__ import annotations

import asyncio
import unittest
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.errors import ProtocolError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INTERRUPTS = (KeyboardInterrupt, SystemExit, pytest.exit.Exception)
"""They end the session, whatever else failed."""

MILD = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
"""Outcomes that are no failures; a failure beside them must be seen."""


def verdict(raised: BaseException | None, others: Sequence[BaseException]) -> BaseException | None:
    """The exception to go on with; `None` where nothing was raised.

    `raised` is from the test or a fixture, `others` are from the lab while it was closed after it:
    what its peers did wrong, and what could not be cleaned up.
    """
    candidates = [unwrapped(error) for error in ([raised] if raised else []) + list(others)]
    for first in (INTERRUPTS, ProtocolError):
        for error in candidates:
            if isinstance(error, first):
                return error
    # Where the lab gave up, it cancelled the test, and knows why.
    plain = [error for error in candidates if not isinstance(error, asyncio.CancelledError)]
    failures = [error for error in plain if not is_mild(error)]
    for other in failures[1:]:
        failures[0].add_note(f"and then: {type(other).__name__}: {other}")
    return next(iter([*failures, *plain, *candidates]), None)


def unwrapped(error: BaseException) -> BaseException:
    """An outcome of pytest or a failure of the harness without the groups around it.

    A group that a test makes of other exceptions is the test's own, and stays.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    found = list(leaves(error))
    for first in (INTERRUPTS, ProtocolError):
        for leaf in found:
            if isinstance(leaf, first):
                return leaf
    outcomes = [leaf for leaf in found if isinstance(leaf, pytest.fail.Exception | ScenarioError)]
    hard = [leaf for leaf in outcomes if not is_mild(leaf)]
    if hard:
        return hard[0]
    return found[0] if all(map(is_mild, found)) else error


def is_mild(error: BaseException) -> bool:
    """Whether it is an outcome of pytest that is no failure."""
    return isinstance(error, MILD)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that a group is made of, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from leaves(member)
    else:
        yield error


def members(error: BaseException) -> list[BaseException]:
    """The exceptions directly in a group, or the exception itself."""
    return list(error.exceptions) if isinstance(error, BaseExceptionGroup) else [error]


def as_scenario_error(raised: BaseException | str) -> ScenarioError:
    """What a test failed with, in the words of the harness."""
    if isinstance(raised, ScenarioError):
        return raised
    if isinstance(raised, str | pytest.fail.Exception | AssertionError):
        text = str(raised)
    else:
        text = f"{type(raised).__name__}: {raised}"
    return ScenarioError("the test passes", text.splitlines() or [type(raised).__name__])
