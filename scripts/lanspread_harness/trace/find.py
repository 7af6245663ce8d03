"""Finds the histories below a path that somebody typed, and reads why each scenario failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.errors import UsageError
from lanspread_harness.timeline import read_timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_harness.timeline import Timeline

HISTORY = "history.jsonl"
FAILURE = "failure.txt"


@dataclass(frozen=True, slots=True)
class Trace:
    """One scenario that left a history; `expectation` is what did not hold, if it failed."""

    name: str
    directory: Path
    timeline: Timeline
    expectation: str | None


def find(run: Path, scenarios: Sequence[str]) -> list[Trace]:
    """The traces of a run, of a scenario's directory or of a history file, in order of names.

    Raises `UsageError` where there is none, or not the ones that were named.
    """
    found = {directory.name: directory for directory in _directories(run)}
    chosen = [name for name in found if not scenarios or _is_wanted(name, scenarios)]
    missing = [wanted for wanted in scenarios if not any(_is_wanted(n, [wanted]) for n in found)]
    if missing:
        raise UsageError(f"{run} has no {', '.join(missing)}; it has {', '.join(found)}")
    return [_trace(found[name]) for name in chosen]


def _directories(run: Path) -> list[Path]:
    if run.is_file():
        if run.name != HISTORY:
            raise UsageError(f"{run} is no {HISTORY}")
        return [run.resolve().parent]
    if not run.is_dir():
        raise UsageError(f"there is no run at {run}")
    if (run / HISTORY).is_file():
        return [run.resolve()]
    found = sorted((path.parent for path in run.glob(f"*/{HISTORY}")), key=_in_order)
    if not found:
        raise UsageError(
            f"{run} holds no {HISTORY}; what passes leaves one only when it is run with --keep"
        )
    return found


def _in_order(directory: Path) -> tuple[int, str]:
    """S9 before S10."""
    return len(directory.name.partition("-")[0]), directory.name


def _is_wanted(name: str, scenarios: Sequence[str]) -> bool:
    """Whether a directory is of one of these scenarios: `S22` is also each of its repetitions."""
    return any(
        name.upper() == wanted.upper() or name.upper().startswith(f"{wanted.upper()}-")
        for wanted in scenarios
    )


def _trace(directory: Path) -> Trace:
    try:
        timeline = read_timeline(directory / HISTORY)
        failure = directory / FAILURE
        text = failure.read_text(encoding="utf-8") if failure.is_file() else ""
    except OSError as error:
        raise UsageError(f"{directory} cannot be read: {error.strerror}") from error
    marked = timeline.failure
    expectation = text.partition("\n")[0] or (marked.name if marked else None)
    return Trace(directory.name, directory, timeline, expectation)
