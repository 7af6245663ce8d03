"""What peers take of the machine: memory and processor time, as the kernel tells it."""

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
class Usage:
    """Of one peer at one moment."""

    rss_kib: int
    cpu_s: float


def usage_of(peers: Sequence[Peer]) -> dict[Peer, Usage]:
    """What each of these peers takes, wherever its backend runs it on this machine."""
    return {peer: _usage(pid_of(peer)) for peer in peers}


def peak_rss_mib(peer: Peer) -> float:
    """The most memory that a peer has taken since it started."""
    return _status_kib(pid_of(peer), "VmHWM:") / 1024


def pid_of(peer: Peer) -> int:
    """The peer's process, wherever its backend runs it on this machine."""
    pid = peer.session.process.pid()
    if pid is None:
        raise BackendError(f"{peer.name} is a process of this machine")
    return pid


async def idle_cpu_shares(peers: Sequence[Peer], seconds: float) -> dict[Peer, float]:
    """The share of one core that each peer takes while nothing is asked of it for some seconds."""
    before = usage_of(peers)
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    after = usage_of(peers)
    passed_s = asyncio.get_running_loop().time() - started
    return {peer: (after[peer].cpu_s - before[peer].cpu_s) / passed_s for peer in peers}


def _usage(pid: int) -> Usage:
    # The second field is the program's name in parentheses; the 14th and 15th count ticks.
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return Usage(_status_kib(pid, "VmRSS:"), cpu_s)


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
