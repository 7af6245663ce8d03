"""What peers take of the machine: memory and processor time, as the kernel tells it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lanspread_harness.client import Peer

PROGRAM = "lanspread-peer-cli"
COMM = PROGRAM[:15]
"""The kernel keeps that much of a program's name."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one peer at one moment."""

    rss_kib: int
    cpu_s: float


def usage_of(peers: Sequence[Peer]) -> dict[Peer, Usage]:
    """What each of these peers takes, wherever its backend runs it on this machine."""
    pids = _pids(peers)
    missing = [peer.name for peer in peers if peer not in pids]
    if missing:
        raise BackendError("every peer is a process of this machine", missing)
    return {peer: _usage(pids[peer]) for peer in peers}


async def idle_cpu_shares(peers: Sequence[Peer], seconds: float) -> dict[Peer, float]:
    """The share of one core that each peer takes while nothing is asked of it for some seconds."""
    before = usage_of(peers)
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    after = usage_of(peers)
    passed_s = asyncio.get_running_loop().time() - started
    return {peer: (after[peer].cpu_s - before[peer].cpu_s) / passed_s for peer in peers}


def _pids(peers: Sequence[Peer]) -> Mapping[Peer, int]:
    """Found by their state directories: what the runner started may only stand for the peer."""
    by_state = {str(peer.options.state_dir).encode(): peer for peer in peers}
    found: dict[Peer, int] = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            if directory.joinpath("comm").read_text("utf-8").strip() != COMM:
                continue
            arguments = directory.joinpath("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        for argument in arguments:
            if argument in by_state:
                found[by_state[argument]] = int(directory.name)
    return found


def _usage(pid: int) -> Usage:
    directory = Path(f"/proc/{pid}")
    rss_kib = 0
    for line in directory.joinpath("status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            rss_kib = int(line.split()[1])
    # The second field is the program's name in parentheses; the 14th and 15th count ticks.
    fields = directory.joinpath("stat").read_text("utf-8").rpartition(")")[2].split()
    return Usage(rss_kib, (int(fields[11]) + int(fields[12])) / TICKS_PER_S)
