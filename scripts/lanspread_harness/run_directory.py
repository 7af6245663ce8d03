"""The directory of a run, and what becomes of it when its runner is killed.

While a run lasts, a file in its directory says whose it is, and its runner holds a lock on that
file. The kernel gives the lock back when the runner ends, however that ends. So the next run knows
whose runner is gone, also where it cannot see the other's processes, and takes the peers' disks of
those, which may be many gigabytes; records and logs stay.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lanspread_harness.errors import EnvironmentLackingError, UsageError
from lanspread_harness.identity import Standing, runner_identity, standing
from lanspread_harness.output import print_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNER = "runner.lock"

CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})
"""What a directory that is well named says: the machine does not let this user write there."""

PEERS = "peers"
"""Within a scenario's directory: everything its peers have on disk."""


@contextmanager
def run_directory(out: Path, run_id: str) -> Iterator[Path]:
    """Sweep what killed runs left below `out`, and make a directory for this one."""
    sweep(out)
    directory = out / run_id
    try:
        directory.mkdir(parents=True)
        descriptor = _claim(directory)
    except OSError as error:
        message = f"--out {out} cannot be written: {error.strerror}"
        if error.errno in CLOSED:
            hint = "name another directory, or run as the user that this one belongs to"
            raise EnvironmentLackingError(f"{message}; {hint}") from error
        raise UsageError(message) from error
    try:
        yield directory
    finally:
        (directory / OWNER).unlink(missing_ok=True)
        os.close(descriptor)


def sweep(out: Path) -> None:
    """Remove the peers' disks of runs whose runner is gone; another may do so at the same time."""
    for owner in sorted(out.glob(f"*/{OWNER}")):
        # Whoever is gone meanwhile was swept by another.
        with suppress(FileNotFoundError), _taken(owner) as taken:
            if taken:
                _remove_disks(owner)


def _claim(directory: Path) -> int:
    """Write the owner's file and lock it. It has its name only when it is locked."""
    fresh = directory / f".{OWNER}"
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with suppress(OSError):
        # Some file systems have no locks; there the identity alone tells.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(descriptor, runner_identity().encode("ascii"))
    fresh.rename(directory / OWNER)
    return descriptor


@contextmanager
def _taken(owner: Path) -> Iterator[bool]:
    """Whether the runner that a file names is gone, and nobody else sweeps up after it."""
    try:
        descriptor = os.open(owner, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        yield False
        return
    try:
        text = os.read(descriptor, 1024).decode("ascii", "replace")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_gone = standing(text) is not Standing.ALIVE
        except BlockingIOError:
            is_gone = False
        except OSError:
            is_gone = standing(text) is Standing.DEAD
        yield is_gone
    finally:
        os.close(descriptor)


def _remove_disks(owner: Path) -> None:
    errors: list[OSError] = []

    def note(_function: object, _path: str, raised: tuple[type, BaseException, object]) -> None:
        error = raised[1]
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            errors.append(error)

    for peers in owner.parent.glob(f"*/{PEERS}"):
        shutil.rmtree(peers, onerror=note)
    try:
        if not errors:
            owner.unlink(missing_ok=True)
    except OSError as error:
        errors.append(error)
    if errors:
        reason = errors[0].strerror
        print_stderr(
            f"what a killed run left in {owner.parent} stays ({reason}); its owner can remove it"
        )
