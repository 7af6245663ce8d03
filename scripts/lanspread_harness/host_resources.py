"""Measures what this host has for scenarios: cores, memory, and ports and files for peers.

`schedule` decides with the `Budget` which scenarios run at a time. It is measured once, at the
start of a run, and reserves nothing: `host_locks` shares the cores with other runs.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from lanspread_harness.schedule import Budget

MIN_CORES = 2
"""Scenarios wait more than they compute, so even one core runs two of them."""

MEMORY_SHARE = 0.75
"""Of what is free at the start; the rest is for the page cache, which downloads live from."""

PORTS_PER_PEER = 2
"""A peer listens on one and dials from another."""

PORTS_SHARE = 0.1
"""Of the ports that the system gives out: others on this machine need some, too."""

FILES_PER_PEER = 8
"""Open files of the runner for each peer: three pipes, and what scenarios read meanwhile."""

MIB = 1024 * 1024


def read_host_budget(jobs: int | None) -> Budget:
    """The budget of this host; where `jobs` is not given, its cores bound their number."""
    cores = count_cores()
    ports = int(_count_ports() * PORTS_SHARE) // PORTS_PER_PEER
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // FILES_PER_PEER
    return Budget(
        jobs=round(2 * cores) if jobs is None else jobs,
        # Who asks for more at a time than there are cores gets them.
        cores=cores if jobs is None else max(cores, float(jobs)),
        memory_mib=int(_read_free_memory_bytes() * MEMORY_SHARE) // MIB,
        peers=max(1, min(ports, files)),
    )


def count_cores() -> float:
    """How many cores scenarios are reckoned with."""
    return float(max(MIN_CORES, len(os.sched_getaffinity(0))))


def _count_ports() -> int:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    return int(last) - int(first) + 1


def _read_free_memory_bytes() -> int:
    """What the system could give without swapping, within what a container may have."""
    free = 0
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.exists() and used.exists():
        text = limit.read_text("ascii").strip()
        if text.isdigit():
            free = min(free, int(text) - int(used.read_text("ascii")))
    return free
