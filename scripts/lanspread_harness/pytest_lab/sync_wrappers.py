"""Wraps async fixtures and tests into plain functions, which a `LabTestRun` runs.

pytest and its other plugins see plain functions, so none of them runs them in a loop of its own.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lanspread_harness.pytest_lab.lab_test_run import LabTestRun


def is_async(function: object) -> bool:
    """Whether a fixture is a coroutine or an async generator."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def wrap_test(function: Callable[..., Any], test_run: LabTestRun) -> Callable[..., object]:
    """A test as a plain function."""

    def test(**arguments: object) -> object:
        return test_run.run_test(function(**arguments))

    return test


def wrap_fixture(
    function: Callable[..., Any],
    instance: object,
    name: str,
    get_test_run: Callable[[], LabTestRun],
) -> Callable[..., object]:
    """A fixture as a plain function, or as a plain generator.

    It gets its test run when it is called: what fails there must fail as part of the fixture, or
    pytest forgets to tear it down.
    """
    bound = _bound(function, instance)
    set_up, torn_down = f"setting up `{name}`", f"tearing down `{name}`"
    if inspect.iscoroutinefunction(function):

        def value(**arguments: object) -> object:
            test_run = get_test_run()
            return test_run.run_fixture(bound(**arguments), set_up)

        return value

    def generator(**arguments: object) -> Iterator[object]:
        test_run = get_test_run()
        generated = bound(**arguments)
        yield test_run.run_fixture(anext(generated), set_up)
        try:
            test_run.run_fixture(anext(generated), torn_down)
        except StopAsyncIteration:
            return
        pytest.fail(f"the fixture `{name}` has more than one `yield`", pytrace=False)

    return generator


def _bound(function: Callable[..., Any], instance: object) -> Callable[..., Any]:
    """A fixture of a class belongs to the very object that the test belongs to."""
    owner = getattr(function, "__self__", None)
    if owner is None or not isinstance(instance, type(owner)):
        return function
    bound: Callable[..., Any] = function.__func__.__get__(instance)  # type: ignore[attr-defined]
    return bound
