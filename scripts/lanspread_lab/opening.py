"""Starts the core of a lab in the background, and finds out whether it came up."""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanspread_lab.errors import LabError
from lanspread_lab.wire import call, is_open

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from lanspread_lab.places import Place

PACKAGES = Path(__file__).resolve().parents[1]
"""Where this package lies; the core has to find it too."""

READY = b"ready\n"
OPENING_TIMEOUT_S = 30 * 60.0
"""The first lab of a checkout builds the binary, which takes minutes."""

LAST_WORDS_CHARS = 600


def open_lab(at: Place, options: argparse.Namespace, python: Callable[[], Path]) -> dict[str, Any]:
    """Open a lab; what the core says of it. `python` gives the interpreter with the packages."""
    at.directory.mkdir(parents=True, exist_ok=True)
    with _lock(at):
        if is_open(at):
            raise LabError(
                "lab-exists", f"the lab {at.name} is open", f"`close {at.name}` closes it"
            )
        for leftover in (at.world, at.outputs):
            shutil.rmtree(leftover, ignore_errors=True)
        process = _start(at, options, str(python()))
        _wait_for_ready(at, process)
    return call(at, "info", {})


def child_environment() -> dict[str, str]:
    """The environment in which the programs of this package find it."""
    return {**os.environ, "PYTHONPATH": str(PACKAGES), "PYTHONUTF8": "1"}


def _start(at: Place, options: argparse.Namespace, python: str) -> subprocess.Popen[bytes]:
    command = [python, "-m", "lanspread_lab.guardian", "--name", at.name]
    command += ["--backend", options.backend, "--idle", str(options.idle)]
    if options.seed is not None:
        command += ["--seed", str(options.seed)]
    if options.binary is not None:
        command += ["--binary", str(options.binary.resolve())]
    with at.log.open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
            cwd=PACKAGES if (PACKAGES.parent / "Cargo.toml").exists() else at.directory,
        )


def _wait_for_ready(at: Place, process: subprocess.Popen[bytes]) -> None:
    """Read what the core prints until it is ready, or raise what it says instead."""
    line = b""
    until_s = time.monotonic() + OPENING_TIMEOUT_S
    if process.stdout is None:
        raise TypeError("the core has no output")
    with process.stdout, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, until_s - time.monotonic())):
                raise LabError("lab-environment", f"the lab {at.name} does not come up")
            some = os.read(process.stdout.fileno(), 4096)
            if not some:
                break
            line += some
    if line == READY:
        return
    process.wait()
    try:
        raise LabError.from_json(json.loads(line))
    except (ValueError, KeyError) as error:
        said = at.log.read_text("utf-8", "replace").strip()[-LAST_WORDS_CHARS:]
        message = f"the lab {at.name} did not come up: {said or line!r}"
        raise LabError("lab-environment", message) from error


@contextmanager
def _lock(at: Place) -> Iterator[None]:
    """Nobody else opens a lab of this name meanwhile."""
    with (at.directory / "opening.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
