"""Makes calls of `lanspread-lab` as a shell does: a process for each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanspread_harness.cli import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

PROC = Path("/proc")

CALL_TIMEOUT_S = 120.0
SOON_S = 30.0

LAB = REPOSITORY / "scripts" / "lab.py"


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell with directories of its own, so that no lab of another test is seen."""

    home: Path
    binary: Path

    def environment(self) -> dict[str, str]:
        """Of every call."""
        runtime, state = self.home / "r", self.home / "s"
        runtime.mkdir(exist_ok=True)
        named = {"XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(state)}
        return {**os.environ, **named, "LANSPREAD_PEER_CLI": str(self.binary)}

    def command(self, *words: str) -> list[str]:
        """The command line of a call."""
        return [sys.executable, str(LAB), *words]

    def run(self, line: str) -> tuple[int, dict[str, Any]]:
        """Make the call that stands on a line after `lanspread-lab`."""
        done = subprocess.run(
            self.command(*shlex.split(line, comments=True)),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, answer

    def do(self, line: str) -> dict[str, Any]:
        """Make a call that must succeed."""
        status, answer = self.run(line)
        assert status == 0, answer
        return answer

    def refused(self, line: str, status: int) -> dict[str, Any]:
        """Make a call that must fail with a status; its error."""
        found, answer = self.run(line)
        assert found == status, answer
        error: dict[str, Any] = answer["error"]
        return error

    def start(self, line: str) -> subprocess.Popen[bytes]:
        """Begin a call and do not wait for it."""
        return subprocess.Popen(
            self.command(*shlex.split(line)),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def processes(self) -> list[str]:
        """The command lines of all processes that are of a lab of this shell."""
        mine = str(self.home).encode()
        found = []
        for process in (path for path in PROC.iterdir() if path.name.isdigit()):
            try:
                environment = (process / "environ").read_bytes()
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if mine in environment and int(process.name) != os.getpid() and words:
                found.append(words.decode("utf-8", "replace"))
        return found


def until(holds: Callable[[], bool], seen: Callable[[], object]) -> None:
    """Wait for something that no call can wait for."""
    end_s = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < end_s, seen()
        time.sleep(0.02)
