"""Room in the kernel for many peers that all talk to each other.

Who speaks to whom over Ethernet is a table of the kernel, and all network namespaces of a machine
share one limit on it, 1,024 by default. Fifty peers on a bridge need 2,450 entries; past the limit
packets are lost without a word. Peers on loopback need none.
"""

from __future__ import annotations

import ipaddress
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import EnvironmentLackingError

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = Path("/proc/sys/net/ipv4/neigh/default")
LIMIT = SETTINGS / "gc_thresh3"
SOFT_LIMIT = SETTINGS / "gc_thresh2"
"""Above it entries are thrown out after five seconds."""

SPARE = 512
"""For everything else on the machine."""


@contextmanager
def room_for_neighbours(peers: int, addr: str) -> Iterator[None]:
    """Raise the limits while so many peers run on a network like that of `addr`, where needed.

    Raises `EnvironmentLackingError` where that takes rights that are not there.
    """
    needed = peers * (peers - 1) + SPARE
    if ipaddress.ip_address(addr.rpartition(":")[0].strip("[]")).is_loopback:
        yield
        return
    before = {path: int(path.read_text("ascii")) for path in (LIMIT, SOFT_LIMIT)}
    raised = [path for path, value in before.items() if value < needed]
    try:
        for path in raised:
            path.write_text(str(needed), "ascii")
    except OSError as error:
        raise EnvironmentLackingError(
            f"{peers} peers on a bridge need {needed} neighbours, the kernel allows "
            f"{before[LIMIT]}: sysctl net.ipv4.neigh.default.gc_thresh2={needed} "
            f"net.ipv4.neigh.default.gc_thresh3={needed}"
        ) from error
    try:
        yield
    finally:
        for path in raised:
            path.write_text(str(before[path]), "ascii")
