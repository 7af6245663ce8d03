"""Who made something: a runner told apart from every other that had, or will have, its pid."""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = "lanspread"


def runner_identity() -> str:
    """Of the running process: boot, pid and start time."""
    pid = os.getpid()
    return f"{_boot_id()}.{pid}.{_start_time(pid)}"


def owned_name(*parts: str) -> str:
    """A name for something of the kernel's that tells who made it: `lanspread.<runner>.<part>…`."""
    return ".".join((PREFIX, runner_identity(), *parts))


def owner_of(name: str) -> str | None:
    """The identity in such a name, or `None` where there is none."""
    prefix, _, rest = name.partition(".")
    parts = rest.split(".")
    return ".".join(parts[:3]) if prefix == PREFIX and len(parts) > 3 else None


def is_doomed(name: str) -> bool:
    """Whether a sweep removes what has this name: it is this runner's, or a dead one's."""
    owner = owner_of(name)
    return owner is not None and (owner == runner_identity() or not is_alive(owner))


def is_alive(identity: str) -> bool:
    """Whether the runner with this identity still runs; never raises, whatever the text."""
    boot, _, process = identity.partition(".")
    pid, _, started = process.partition(".")
    return boot == _boot_id() and pid.isdigit() and started == _start_time(int(pid)) != ""


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else "unknown"


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The second field is the program's name in parentheses, which may hold spaces itself.
    return stat.rpartition(")")[2].split()[19]
