"""Who made something: a runner told apart from every other that had, or will have, its pid.

A pid means something in its own namespace of processes only: two runners in two containers may both
be process 1, and neither sees the other. So an identity names the namespace too, and a runner is
taken for dead only where this process can see that it is. What cannot be judged is left alone.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

PREFIX = "lanspread-run"

INITIAL_NAMESPACE = 0xEFFFFFFC
"""The number of the namespace that sees the processes of all others (`PROC_PID_INIT_INO`)."""

PROC = Path("/proc")

TOKEN_BYTES = 4


class Standing(Enum):
    """What is known of a runner."""

    ALIVE = auto()
    DEAD = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Identity:
    """A process of a boot: its namespace of processes, its pid there, and when it started."""

    boot: str
    namespace: int
    pid: int
    started: int
    """In ticks of the kernel from its boot."""

    FORM = re.compile(r"(?P<boot>[0-9a-f-]+)\.(?P<namespace>\d+)\.(?P<pid>\d+)\.(?P<started>\d+)")

    def __str__(self) -> str:
        return f"{self.boot}.{self.namespace}.{self.pid}.{self.started}"

    @classmethod
    def parse(cls, text: str) -> Identity | None:
        """The identity in a text, or `None` where there is none."""
        found = cls.FORM.fullmatch(text)
        if found is None:
            return None
        numbers = (int(found[name]) for name in ("namespace", "pid", "started"))
        return cls(found["boot"], *numbers)


def runner_identity() -> str:
    """Of the running process."""
    pid = os.getpid()
    return str(Identity(_boot_id(), _namespace("self") or 0, pid, _start_time(pid) or 0))


def unique_token() -> str:
    """A part for names that no other runner makes, wherever it runs."""
    return secrets.token_hex(TOKEN_BYTES)


def owned_name(*parts: str) -> str:
    """A name for a thing of the kernel's that tells its maker: `lanspread-run.<runner>.<part>…`."""
    return ".".join((PREFIX, runner_identity(), *parts))


def owner_of(name: str) -> str | None:
    """The identity in such a name, or `None` where there is none."""
    prefix, _, rest = name.partition(".")
    found = Identity.FORM.match(rest)
    return found[0] if prefix == PREFIX and found and rest[found.end() :].startswith(".") else None


def is_doomed(name: str) -> bool:
    """Whether a sweep removes what has this name: it is this runner's, or a dead one's."""
    owner = owner_of(name)
    return owner is not None and (owner == runner_identity() or is_dead(owner))


def is_dead(identity: str, *, of_this_kernel: bool = True) -> bool:
    """Whether it is certain that the runner with this identity runs no more; never raises.

    `of_this_kernel` says that it ran on this kernel, perhaps before its last boot. Of a runner of
    another machine nothing is certain.
    """
    return standing(identity, of_this_kernel=of_this_kernel) is Standing.DEAD


def standing(text: str, *, of_this_kernel: bool = True) -> Standing:
    """What is known of the runner with this identity; never raises, whatever the text."""
    identity = Identity.parse(text)
    own = Identity.parse(runner_identity())
    if identity is None or own is None:
        return Standing.UNKNOWN
    if identity.boot != own.boot:
        return Standing.DEAD if of_this_kernel else Standing.UNKNOWN
    if identity.namespace == own.namespace:
        return _standing_here(identity)
    return _standing_below(identity) if own.namespace == INITIAL_NAMESPACE else Standing.UNKNOWN


def _standing_here(identity: Identity) -> Standing:
    started = _start_time(identity.pid)
    if started is not None:
        is_it = started == identity.started and not _has_ended(identity.pid)
        return Standing.ALIVE if is_it else Standing.DEAD
    try:
        os.kill(identity.pid, 0)
    except ProcessLookupError:
        return Standing.DEAD
    except (PermissionError, OverflowError):
        # `/proc` may hide the processes of others.
        return Standing.UNKNOWN
    return Standing.UNKNOWN


def _standing_below(identity: Identity) -> Standing:
    """Of a runner in another namespace of processes, all of whose processes are seen from here."""
    # Where processes of others are hidden, that one is, too.
    hidden = not _pids(PROC / "1")
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        pids = _pids(process)
        if pids and (len(pids) == 1 or pids[-1] != identity.pid):
            # One of this namespace has a pid here and no other.
            continue
        namespace = _namespace(process.name)
        if namespace is None:
            # Of a process that has ended there is no such link either.
            hidden = hidden or process.exists()
        elif namespace == identity.namespace:
            is_it = _start_time(int(process.name)) == identity.started
            return Standing.ALIVE if is_it else Standing.DEAD
    return Standing.UNKNOWN if hidden else Standing.DEAD


def _boot_id() -> str:
    path = PROC / "sys/kernel/random/boot_id"
    return path.read_text(encoding="ascii").strip() if path.exists() else "0"


def _namespace(process: str) -> int | None:
    """The number of a process's namespace of processes, `None` where it cannot be seen."""
    with suppress(OSError, ValueError):
        return int((PROC / process / "ns/pid").readlink().name.strip("pid:[]"))
    return None


def _pids(process: Path) -> list[int]:
    """The pids of a process, from that in this namespace to that in its own."""
    with suppress(OSError, ValueError):
        for line in (process / "status").read_text("utf-8", "replace").splitlines():
            if line.startswith("NSpid:"):
                return [int(pid) for pid in line.split()[1:]]
    return []


def _has_ended(pid: int) -> bool:
    """Whether a process is only there for its parent to learn how it ended."""
    stat = _stat(pid)
    return stat is None or stat[0] in ("Z", "X")


def _start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; `None` when there is none."""
    stat = _stat(pid)
    return None if stat is None else int(stat[19])


def _stat(pid: int) -> list[str] | None:
    """What the kernel tells of a process, from its state on; `None` when there is none."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may hold spaces itself.
    return stat.rpartition(")")[2].split()
