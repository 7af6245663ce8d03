"""Who made something: a runner told apart from every other that had, or will have, its pid."""

from __future__ import annotations

import os
from pathlib import Path


def runner_identity() -> str:
    """Of the running process: boot, pid and start time."""
    pid = os.getpid()
    return f"{_boot_id()}.{pid}.{_start_time(pid)}"


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
