"""Measures the memory and processor time of peers, as the kernel counts them.

Works on every backend whose peers are processes of this host, containers included. A peer that has
ended cannot be measured.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_harness.client import Peer

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Memory and processor time of one peer at one moment."""

    rss_kib: int
    cpu_s: float


def read_usage(peers: Sequence[Peer]) -> dict[Peer, ProcessUsage]:
    """Measure each of these peers now, wherever its backend runs it on this host."""
    return {peer: _read_process(find_pid(peer)) for peer in peers}


def read_peak_rss_mib(peer: Peer) -> float:
    """The most memory that a peer has taken since it started."""
    return _read_status_kib(find_pid(peer), "VmHWM") / 1024


def find_pid(peer: Peer) -> int:
    """The pid of the peer's process on this host, whatever its backend."""
    pid = peer.session.process.pid()
    if pid is None:
        raise BackendError("a process of this host", ["none that is seen here"], about=peer.name)
    return pid


async def measure_idle_cpu(peers: Sequence[Peer], seconds: float) -> dict[Peer, float]:
    """The share of one core that each peer takes while nothing is asked of it for some seconds."""
    before = read_usage(peers)
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    after = read_usage(peers)
    passed_s = asyncio.get_running_loop().time() - started
    return {peer: (after[peer].cpu_s - before[peer].cpu_s) / passed_s for peer in peers}


def _read_process(pid: int) -> ProcessUsage:
    # The second field is the program's name in parentheses; the 14th and 15th count ticks.
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return ProcessUsage(_read_status_kib(pid, "VmRSS"), cpu_s)


def read_status(pid: int) -> dict[str, str]:
    """What the kernel tells of a process, by name."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _read_status_kib(pid: int, name: str) -> int:
    return int(read_status(pid).get(name, "0").split()[0])
