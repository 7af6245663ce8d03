"""What is kept of a scenario that failed: why, what was on its peers' disks, how to run it again."""

from __future__ import annotations

import shlex
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.errors import ProtocolError, ScenarioError
from lanspread_harness.run_directory import PEERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LISTED_FILES = 2000
"""How much of the peers' disks `disk.txt` shows; a failed scenario of many files stays readable."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a scenario failed, and where to look further."""

    expectation: str
    evidence: tuple[str, ...]
    artefacts: Path
    command: str


def scenario_error(error: BaseException) -> ScenarioError:
    """What a scenario failed with; when one failure made others, the one that made them.

    A broken rule of the protocol explains what was waited for in vain, so it goes first.
    """
    leaves = list(_leaves(error))
    cause = next((leaf for leaf in leaves if isinstance(leaf, ProtocolError)), leaves[0])
    if isinstance(cause, ScenarioError):
        return cause
    trace = "".join(traceback.format_exception(cause)).splitlines()
    return ScenarioError("the scenario runs without an error of its own", trace)


def record_failure(directory: Path, error: ScenarioError, command: str) -> Failure:
    """Write `failure.txt` and `disk.txt` while the peers' disks are still there."""
    _write_disk_listing(directory)
    report = "\n".join([error.expectation, *error.evidence, ""])
    (directory / "failure.txt").write_text(report, encoding="utf-8")
    return Failure(error.expectation, error.evidence, directory, command)


def write_repro(directory: Path, repository: Path, command: str) -> None:
    """Write `repro.sh`, which runs `command` in the repository."""
    script = directory / "repro.sh"
    quoted = shlex.quote(str(repository))
    script.write_text(f"#!/bin/sh\ncd {quoted} && exec {command}\n", encoding="utf-8")
    script.chmod(0o755)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for child in error.exceptions:
            yield from _leaves(child)
    else:
        yield error


def _write_disk_listing(directory: Path) -> None:
    lines: list[str] = []
    for path in sorted((directory / PEERS).rglob("*")):
        name = path.relative_to(directory)
        lines.append(f"{name}/" if path.is_dir() else f"{name} {path.lstat().st_size}")
    if len(lines) > MAX_LISTED_FILES:
        lines = [*lines[:MAX_LISTED_FILES], f"… and {len(lines) - MAX_LISTED_FILES} more"]
    (directory / "disk.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
