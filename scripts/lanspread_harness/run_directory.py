"""The directory of a run, and what becomes of it when its runner is killed.

While a run lasts, a file in its directory says whose it is. The next run takes the peers' disks of
those whose runner is gone, which may be many gigabytes; records and logs stay.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lanspread_harness.errors import EnvironmentLackingError, UsageError
from lanspread_harness.identity import is_alive, runner_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNER = "runner"

CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})
"""What a directory that is well named says: the machine does not let this user write there."""

PEERS = "peers"
"""Within a scenario's directory: everything its peers have on disk."""


@contextmanager
def run_directory(out: Path, run_id: str) -> Iterator[Path]:
    """Sweep what killed runs left below `out`, and make a directory for this one."""
    sweep(out)
    directory = out / run_id
    owner = directory / OWNER
    try:
        directory.mkdir(parents=True)
        owner.write_text(runner_identity(), encoding="ascii")
    except OSError as error:
        message = f"--out {out} cannot be written: {error.strerror}"
        if error.errno in CLOSED:
            hint = "name another directory, or run as the user that this one belongs to"
            raise EnvironmentLackingError(f"{message}; {hint}") from error
        raise UsageError(message) from error
    try:
        yield directory
    finally:
        owner.unlink()


def sweep(out: Path) -> None:
    """Remove the peers' disks of runs whose runner is gone."""
    for owner in out.glob(f"*/{OWNER}"):
        if is_alive(owner.read_text(encoding="ascii", errors="replace")):
            continue
        for peers in owner.parent.glob(f"*/{PEERS}"):
            shutil.rmtree(peers)
        owner.unlink()
