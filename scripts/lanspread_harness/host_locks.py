"""Locks that all runners of one user on this host share: `hold_lock`, and `reserve_cores`.

A lock is on a file, and the kernel releases it when its holder ends, however that ends. Locks keep
runners out of each other's way and protect nothing: where one cannot be had, such as in a container
with files of its own, the runner goes on without it after a while.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOCK_DIRECTORY = Path("/tmp")  # noqa: S108
"""The same for all of a user's runners, whatever their environment; file names have the user."""

POLL_S = 0.1

SWEEP_LOCK = "sweep"
SWEEP_WAIT_S = 30.0
"""Sweeping takes seconds, unless a disk or the engine hangs."""

CORES_LOCK = "cores"
SLICES_PER_CORE = 10
"""Scenarios declare what they take in tenths of a core."""

QUEUE_LOCK = "queue"
CORES_WAIT_S = 5 * 60.0
"""The longest scenario that others run beside gives its part back within this."""

ALONE_LOCK = "alone"
ALONE_WAIT_S = 15 * 60.0
"""Longer than the scenarios of a whole run, at the end of which the one that is waited for ends."""


@asynccontextmanager
async def hold_lock(name: str, *, shared: bool = False, wait_s: float) -> AsyncIterator[bool]:
    """Wait for a lock and hold it; yields whether it is held. A `shared` one has many holders."""
    descriptor = _open(name)
    if descriptor is None:
        yield False
        return
    try:
        yield await _wait_for_lock(descriptor, shared=shared, wait_s=wait_s)
    finally:
        os.close(descriptor)


async def _wait_for_lock(descriptor: int, *, shared: bool, wait_s: float) -> bool:
    operation = fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    until_s = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            if asyncio.get_running_loop().time() >= until_s:
                return False
            await asyncio.sleep(POLL_S)
        except OSError:
            return False
        else:
            return True


@asynccontextmanager
async def reserve_cores(part: float, *, of_cores: float, wait_s: float) -> AsyncIterator[bool]:
    """Wait for a part of the cores of this host, and hold it; yields whether it is held.

    All runners take from the same cores, so that several at a time do not slow each other down
    until times do not hold. Whoever waits for many cores is not overtaken by those who want few.
    """
    total = max(1, int(of_cores * SLICES_PER_CORE))
    wanted = min(total, max(1, int(part * of_cores * SLICES_PER_CORE)))
    descriptor = _open(CORES_LOCK)
    if descriptor is None:
        yield False
        return
    try:
        async with hold_lock(QUEUE_LOCK, wait_s=wait_s):
            came = await _wait_for_slices(descriptor, wanted, total, wait_s)
        yield came
    finally:
        os.close(descriptor)


async def _wait_for_slices(descriptor: int, wanted: int, total: int, wait_s: float) -> bool:
    until_s = asyncio.get_running_loop().time() + wait_s
    while asyncio.get_running_loop().time() < until_s:
        try:
            taken = 0
            for index in range(total):
                taken += taken < wanted and _lock_byte(descriptor, index)
            if taken == wanted:
                return True
            _lock_bytes(descriptor, fcntl.F_UNLCK, 0, total)
        except OSError:
            return False
        await asyncio.sleep(POLL_S)
    return False


def _lock_byte(descriptor: int, index: int) -> bool:
    try:
        _lock_bytes(descriptor, fcntl.F_WRLCK, index, 1)
    except BlockingIOError:
        return False
    return True


def _lock_bytes(descriptor: int, kind: int, start: int, length: int) -> None:
    """Lock a range of a file for a descriptor, so that it goes when that is closed."""
    request = struct.pack("@hhqqi", kind, os.SEEK_SET, start, length, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)


def _open(name: str) -> int | None:
    path = LOCK_DIRECTORY / f"lanspread-{_user()}-{name}.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except OSError:
        return None


def _user() -> int:
    """The user outside of a user namespace that this process may be in."""
    own = os.geteuid()
    try:
        maps = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return own
    for line in maps:
        inside, outside, count = map(int, line.split())
        if inside <= own < inside + count:
            return outside + own - inside
    return own
