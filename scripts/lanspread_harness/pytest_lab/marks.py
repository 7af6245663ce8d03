"""What the marks and fixtures of a test say about its lab, and which of it cannot be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lanspread_harness.backends import Need
from lanspread_harness.errors import UsageError
from lanspread_harness.scenario import Meta

if TYPE_CHECKING:
    import pytest

MARKER = "lanspread"

USAGE = (
    "@pytest.mark.lanspread takes `timeout_s`, in seconds, and `needs`, a set of `Need`, by name"
)

HYPOTHESIS = (
    "hypothesis runs the body of a test many times, and a lab is of one run: draw the examples "
    "with `pytest.mark.parametrize`, or from `random.Random(lab.seed)`"
)
TRIO = "a lab runs on asyncio, so a test with one cannot run on trio"
NO_COROUTINE = (
    "a test with the fixture `lab` must be a plain `async def`; a decorator around it must be one "
    "as well"
)
TAKEN = (
    "this version of pytest-asyncio runs the fixture in a loop that is not the lab's: update it to "
    "1.0 or later, or set asyncio_mode = strict"
)
UNITTEST = "a `unittest.TestCase` cannot have a `lab`: write the test as an `async def` of pytest"
TOO_LATE = (
    "a test cannot ask for `lab` when it runs already: make it an argument, or use "
    '@pytest.mark.usefixtures("lab")'
)


def meta_of(item: pytest.Item) -> Meta:
    """What the marks of a test, its class and its module say; the closest counts.

    Raises `UsageError` for what they cannot say.
    """
    given: dict[str, object] = {}
    for mark in reversed(list(item.iter_markers(MARKER))):
        if mark.args:
            raise UsageError(f"{USAGE}; not {mark.args[0]!r} by position")
        given.update(mark.kwargs)
    if unknown := given.keys() - {"timeout_s", "needs"}:
        raise UsageError(f"{USAGE}; there is no `{min(unknown)}`")
    return Meta(
        timeout_s=_timeout_s(given.get("timeout_s", Meta().timeout_s)),
        needs=_needs(given.get("needs", Meta().needs)),
    )


def why_not(item: pytest.Item, function: object) -> str | None:
    """Why a test cannot have a lab, or `None` when it can."""
    if getattr(function, "is_hypothesis_test", False):
        return HYPOTHESIS
    return TRIO if item.get_closest_marker("trio") is not None else None


def _timeout_s(value: object) -> float:
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{USAGE}; timeout_s cannot be {value!r}")
    return seconds


def _needs(value: object) -> frozenset[Need]:
    if not isinstance(value, set | frozenset | list | tuple):
        raise UsageError(f"{USAGE}; needs cannot be {value!r}, but {{{value!r}}}")
    try:
        return frozenset(Need(need) for need in value)
    except ValueError as error:
        known = ", ".join(Need)
        raise UsageError(f"{USAGE}; {error}, they are {known}") from error


def is_taken(function: object) -> bool:
    """Whether an old pytest-asyncio has made a plain function of an async fixture already."""
    code = getattr(function, "__code__", None)
    return "pytest_asyncio" in getattr(code, "co_filename", "")
