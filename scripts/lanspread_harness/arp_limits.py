"""Raises the kernel's limits on ARP entries while many peers on a bridge talk to each other.

All network namespaces of a host share one limit on the table, 1,024 entries by default. Fifty peers
on a bridge need 2,450; past the limit packets are lost without an error, also those of others.
Labs on one host share the raised limits, and the last one to end restores them. Entries that are
set by hand, as the backend netns does, do not count, so peers with such entries need no more room.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import EnvironmentLackingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from lanspread_harness.backends import LabHost

SETTINGS = Path("/proc/sys/net/ipv4/neigh/default")
LIMITS = ("gc_thresh2", "gc_thresh3")
"""Above the first, entries are thrown out after five seconds; above the second, none is made."""

STATE = Path("/run/lanspread-neighbours")
"""What the limits were. Locked by all who need them raised: the last one to leave restores them,
and where it was killed, the next one does."""

MAX_LABS = 4
"""How many such labs may be on the host at a time; an entry takes half a kilobyte."""


@contextmanager
def raise_arp_limits(peers: int, host: LabHost) -> Iterator[None]:
    """Raise the limits while so many peers run on a lab's host, where they use ARP.

    Raises `EnvironmentLackingError` where that takes rights that are not there.
    """
    if not host.uses_arp():
        yield
        return
    needed = peers * (peers - 1) * MAX_LABS
    limits = _read_limits()
    with ExitStack() as stack:
        try:
            state = stack.enter_context(STATE.open("a+", encoding="ascii"))
            _raise_to(state, needed)
        except PermissionError as error:
            wanted = " ".join(f"net.ipv4.neigh.default.{name}={needed}" for name in LIMITS)
            raise EnvironmentLackingError(
                f"{peers} peers on a bridge need more ARP entries than {limits}: sysctl {wanted}"
            ) from error
        stack.callback(_restore, state)
        yield


def _raise_to(state: TextIO, needed: int) -> None:
    if _lock_exclusively(state):
        state.seek(0)
        if not state.read():
            state.write(json.dumps(_read_limits()))
            state.flush()
    # Who was first has noted what the limits were.
    fcntl.flock(state, fcntl.LOCK_SH)
    for name, value in _read_limits().items():
        if value < needed:
            (SETTINGS / name).write_text(str(needed), "ascii")


def _restore(state: TextIO) -> None:
    if not _lock_exclusively(state):
        return
    state.seek(0)
    before: dict[str, int] = json.loads(state.read())
    for name, value in before.items():
        (SETTINGS / name).write_text(str(value), "ascii")
    state.truncate(0)


def _lock_exclusively(state: TextIO) -> bool:
    try:
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_limits() -> dict[str, int]:
    return {name: int((SETTINGS / name).read_text("ascii")) for name in LIMITS}
