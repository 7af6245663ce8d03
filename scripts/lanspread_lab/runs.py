"""Runs of scenarios in the background, each with a directory, a state and an exit status."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

from lanspread_lab.errors import LabError
from lanspread_lab.opening import PACKAGES, child_environment
from lanspread_lab.places import NAME, state_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

RUNNER = PACKAGES / "run_extended_scenarios.py"
TRACE = PACKAGES / "trace.py"

SHOWN_LINES = 40


def begin(options: argparse.Namespace) -> dict[str, Any]:
    """Begin a run; its name."""
    if not RUNNER.exists():
        raise LabError("lab-unsupported", "scenarios are run from a checkout of Lanspread")
    runs = state_directory() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    directory = _fresh(runs)
    command = ["python3", str(RUNNER), *options.scenarios, "--backend", options.backend]
    command += ["--json", "--out", str(directory / "out")]
    command += ["--binary", str(options.binary.resolve())] if options.binary else []
    command += ["--seed", str(options.seed)] if options.seed is not None else []
    # The status is written by the shell when the runner ends, whoever is left to see it.
    shell = f"{shlex.join(command)}; echo $? > status.tmp; mv status.tmp status"
    with (directory / "states.jsonl").open("wb") as out, (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", shell],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
            cwd=directory,
        )
    (directory / "pid").write_text(str(process.pid), encoding="ascii")
    return {"run": directory.name, "scenarios": options.scenarios, "directory": str(directory)}


def status(name: str | None, timeout_s: float) -> dict[str, Any]:
    """How a run is, waiting for its end at most so long; all runs without a name."""
    runs = state_directory() / "runs"
    if name is None:
        found = sorted(runs.iterdir(), key=lambda run: int(run.name[1:])) if runs.exists() else []
        return {"runs": [_state(run) for run in found]}
    directory = find(name)
    until_s = time.monotonic() + timeout_s
    pid = int((directory / "pid").read_text("ascii"))
    while not (directory / "status").exists() and time.monotonic() < until_s and _lives(pid):
        time.sleep(min(0.1, timeout_s))
    return _state(directory, with_states=True)


def trace(name: str, python: Callable[[], Path], *, failures: bool) -> int:
    """Print what happened in a run; the exit status of `trace.py`."""
    out = find(name) / "out"
    runs = sorted(path for path in out.glob("*") if path.is_dir() and not path.is_symlink())
    if not runs:
        raise LabError("lab-no-run", f"the run {name} left nothing yet", f"`status {name}` tells")
    command = [str(python()), str(TRACE), str(runs[-1]), *(["--failures"] if failures else [])]
    return subprocess.run(command, check=False).returncode


def find(name: str) -> Path:
    """The directory of a run."""
    directory = state_directory() / "runs" / name
    if NAME.fullmatch(name) is None or not (directory / "pid").exists():
        raise LabError("lab-no-run", f"there is no run {name}", "`status` lists all of them")
    return directory


def _fresh(runs: Path) -> Path:
    taken = [int(run.name[1:]) for run in runs.iterdir() if run.name[1:].isdigit()]
    number = max(taken, default=0)
    while True:
        number += 1
        try:
            (runs / f"r{number}").mkdir()
        except FileExistsError:
            continue
        return runs / f"r{number}"


def _state(directory: Path, *, with_states: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {"run": directory.name, "directory": str(directory)}
    pid = int((directory / "pid").read_text("ascii"))
    try:
        told["exit_status"] = int((directory / "status").read_text("ascii"))
        told["state"] = "passed" if told["exit_status"] == 0 else "failed"
    except FileNotFoundError:
        told["state"] = "running" if _lives(pid) else "killed"
    if with_states:
        lines = (directory / "states.jsonl").read_text("utf-8", "replace").splitlines()
        told["states"] = [json.loads(line) for line in lines[-SHOWN_LINES:] if line.startswith("{")]
        log = (directory / "log").read_text("utf-8", "replace").splitlines()
        told["log"] = log[-SHOWN_LINES:]
    return told


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
