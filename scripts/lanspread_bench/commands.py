"""Commands that are run to their end before or between transfers."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lanspread_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(command: Sequence[str]) -> str:
    """Run a command and return what it printed; `BenchError` where it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"status {done.returncode}"
        raise BenchError(f"{' '.join(command[:3])}: {reason}")
    return done.stdout
