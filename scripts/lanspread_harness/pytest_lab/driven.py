"""Async fixtures and tests as plain functions that run on a stage.

pytest and its other plugins see plain functions, so none of them runs them in a loop of its own.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lanspread_harness.pytest_lab.stage import Stage


def is_async(function: object) -> bool:
    """Whether a fixture is a coroutine or an async generator."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def plain_test(function: Callable[..., Any], stage: Stage) -> Callable[..., object]:
    """A test as a plain function."""

    def test(**arguments: object) -> object:
        return stage.run_test(function(**arguments))

    return test


def plain_fixture(
    function: Callable[..., Any], instance: object, name: str, get_stage: Callable[[], Stage]
) -> Callable[..., object]:
    """A fixture as a plain function, or as a plain generator.

    It gets its stage when it is called: what fails there must fail as part of the fixture, or
    pytest forgets to tear it down.
    """
    bound = _bound(function, instance)
    set_up, torn_down = f"setting up `{name}`", f"tearing down `{name}`"
    if inspect.iscoroutinefunction(function):

        def value(**arguments: object) -> object:
            stage = get_stage()
            return stage.run_fixture(bound(**arguments), set_up)

        return value

    def generator(**arguments: object) -> Iterator[object]:
        stage = get_stage()
        generated = bound(**arguments)
        yield stage.run_fixture(anext(generated), set_up)
        try:
            stage.run_fixture(anext(generated), torn_down)
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
