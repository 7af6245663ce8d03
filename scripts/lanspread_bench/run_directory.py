"""The directory of one run: gone when the run is, or else when the next one begins."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lanspread_harness.identity import is_dead, runner_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX = "run-"
"""Before the identity of the process that runs."""


@contextmanager
def run_directory(base: Path) -> Iterator[Path]:
    """A new directory in `base`, without those of runs that were killed."""
    for left in base.glob(f"{PREFIX}*"):
        if is_dead(left.name.removeprefix(PREFIX)):
            shutil.rmtree(left, ignore_errors=True)
    directory = base / f"{PREFIX}{runner_identity()}"
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
