"""Counting what the tools report, by lines as they print them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="module")
def command() -> ModuleType:
    """`scripts/test.py`, whose name the standard library has a package of."""
    path = Path(__file__).parents[1] / "test.py"
    spec = importlib.util.spec_from_file_location("test_command", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["     Summary [   0.01s] 12 tests run: 12 passed, 0 skipped"], (12, 0)),
        (
            ["     Summary [   9.1s] 9/12 tests run: 6 passed, 2 failed, 1 timed out, 3 skipped"],
            (6, 3),
        ),
        (
            [
                "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
                "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured",
            ],
            (7, 1),
        ),
        (["1 failed, 48 passed in 5.47s"], (48, 1)),
        (["FAIL S01 … it says 3 passed", "17 passed, 2 failed, 1 skipped"], (17, 2)),
        (["nothing of the kind"], (0, 0)),
    ],
)
def test_summaries_are_counted(
    command: ModuleType, lines: list[str], expected: tuple[int, int]
) -> None:
    assert command.count(lines) == expected


def test_a_step_that_cannot_start_counts_as_failed(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    step = command.Step("nothing", ("no-such-program-here",), counts=True)
    tally = command.run(step, fix=False)
    assert (tally.passed, tally.failed) == (0, 1)
    assert command.summarise([tally]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"


def test_every_step_is_described(command: ModuleType) -> None:
    assert [step.name for step in command.all_steps()] == list(command.WHAT)
