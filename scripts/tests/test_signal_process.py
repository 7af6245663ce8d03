"""Whom a signal reaches where all that is known of a peer in a container is how it was started.

Needs no engine: to the machine the peer is a process like any other.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from lanspread_harness.backends.docker import signal_process

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signal_finds_the_one_process_with_these_arguments(tmp_path: Path) -> None:
    arguments = ["-c", "print(flush=True); input()", "--state-dir", str(tmp_path / "ü")]
    with started(*arguments, "more") as other, started(*arguments) as wanted:
        assert signal_process(arguments, signal.SIGKILL)
        assert wanted.wait() == -signal.SIGKILL
        assert not signal_process(arguments, signal.SIGKILL)
        assert other.poll() is None
        other.kill()


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """A Python that runs: for an instant after its start the kernel knows no arguments of it."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process
