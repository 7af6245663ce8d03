"""Finds and kills the processes that a killed runner left behind.

Every process a runner starts carries the runner's identity in its environment, and so do the
processes that it starts in turn. Nothing has to be written down, so there is no moment at which a
runner can be killed and its peers be forgotten. A peer ends by itself when its input does, but one
that is stopped cannot, which is why the next run looks for them. Processes of living runners, and
of runners of which nothing is known, are left alone. Disks, namespaces and containers are swept by
the modules that make them.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.identity import is_dead, runner_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER_VARIABLE = "LANSPREAD_OWNER"

DEATH_TIMEOUT_S = 10.0
"""A process that was killed is gone at once, unless its disk hangs."""


def marked_environment() -> dict[str, str]:
    """The environment of this process, with its mark, for what it starts."""
    return {**os.environ, OWNER_VARIABLE: runner_identity()}


def kill_orphans() -> list[int]:
    """Kill every process that a dead runner started, wait until they are gone, and name them."""
    return [pid for pid in _list_pids() if _kill_if_orphan(pid)]


def _kill_if_orphan(pid: int) -> bool:
    with suppress(OSError), open_pidfd(pid) as descriptor:
        # Read only now: what the descriptor stands for cannot become another process.
        owner = _read_owner(pid)
        if owner is None or not is_dead(owner):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], DEATH_TIMEOUT_S)
        return True
    return False


@contextmanager
def open_pidfd(pid: int) -> Iterator[int]:
    """A descriptor of a process, which never means another process that gets the same pid."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_owner(pid: int) -> str | None:
    """The runner that started a process; of other users' processes nothing can be read."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    mark = f"{OWNER_VARIABLE}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(mark):
            return entry.removeprefix(mark).decode("ascii", "replace")
    return None


def _list_pids() -> list[int]:
    own = os.getpid()
    found = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return sorted(pid for pid in found if pid != own)
