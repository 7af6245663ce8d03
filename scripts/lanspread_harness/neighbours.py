"""Room in the kernel for many peers that all talk to each other.

Who speaks to whom over Ethernet is a table of the kernel, and all network namespaces of a machine
share one limit on it, 1,024 by default. Fifty peers on a bridge need 2,450 entries; past the limit
packets are lost without a word, also those of others. What peers are told, and need not ask for,
does not count.
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
"""What the limits were. Locked by all who need them raised: the last one to leave puts them back,
and where it was killed, the next one does."""

RUNS = 4
"""So many crowds may be on the machine at a time; an entry takes half a kilobyte."""


@contextmanager
def room_for_neighbours(peers: int, host: LabHost) -> Iterator[None]:
    """Raise the limits while so many peers run on a lab's host, where they have to ask.

    Raises `EnvironmentLackingError` where that takes rights that are not there.
    """
    if not host.asks_for_neighbours():
        yield
        return
    needed = peers * (peers - 1) * RUNS
    limits = _limits()
    with ExitStack() as stack:
        try:
            state = stack.enter_context(STATE.open("a+", encoding="ascii"))
            _raise(state, needed)
        except PermissionError as error:
            wanted = " ".join(f"net.ipv4.neigh.default.{name}={needed}" for name in LIMITS)
            raise EnvironmentLackingError(
                f"{peers} peers on a bridge need more neighbours than {limits}: sysctl {wanted}"
            ) from error
        stack.callback(_put_back, state)
        yield


def _raise(state: TextIO, needed: int) -> None:
    if _locked_alone(state):
        state.seek(0)
        if not state.read():
            state.write(json.dumps(_limits()))
            state.flush()
    # Who was first has noted what the limits were.
    fcntl.flock(state, fcntl.LOCK_SH)
    for name, value in _limits().items():
        if value < needed:
            (SETTINGS / name).write_text(str(needed), "ascii")


def _put_back(state: TextIO) -> None:
    if not _locked_alone(state):
        return
    state.seek(0)
    before: dict[str, int] = json.loads(state.read())
    for name, value in before.items():
        (SETTINGS / name).write_text(str(value), "ascii")
    state.truncate(0)


def _locked_alone(state: TextIO) -> bool:
    try:
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _limits() -> dict[str, int]:
    return {name: int((SETTINGS / name).read_text("ascii")) for name in LIMITS}
