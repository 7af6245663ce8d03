"""Taking turns with other runners of the same user on this machine.

A turn is a lock on a file that the kernel gives back when its holder ends, however that ends. It
keeps runners out of each other's way; nothing is wrong without it, so where it cannot be had, such
as in a container with files of its own, whoever wants it goes on after a while.
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

PLACE = Path("/tmp")  # noqa: S108
"""The same for all of a user's runners, whatever their environment; names tell the users apart."""

POLL_S = 0.1

SWEEP = "sweep"
SWEEP_WAIT_S = 30.0
"""Sweeping takes seconds, unless a disk or the engine hangs."""

CORES = "cores"
SLICES_PER_CORE = 10
"""Scenarios declare what they take in tenths of a core."""

QUEUE = "queue"
CORES_WAIT_S = 5 * 60.0
"""The longest scenario that others run beside gives its part back within this."""

ALONE = "alone"
ALONE_WAIT_S = 15 * 60.0
"""Longer than the scenarios of a whole run, at the end of which the one that is waited for ends."""


@asynccontextmanager
async def turn(name: str, *, shared: bool = False, wait_s: float) -> AsyncIterator[bool]:
    """Wait for a turn and keep it; whether it came. A `shared` one is kept together with others."""
    descriptor = _open(name)
    if descriptor is None:
        yield False
        return
    try:
        yield await _locked(descriptor, shared=shared, wait_s=wait_s)
    finally:
        os.close(descriptor)


async def _locked(descriptor: int, *, shared: bool, wait_s: float) -> bool:
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
async def share(part: float, *, of_cores: float, wait_s: float) -> AsyncIterator[bool]:
    """Wait for a part of the cores of this machine, and keep it; whether it came.

    All runners take from the same, so that several at a time do not slow each other down until
    times do not hold. Who waits longest for much is not overtaken by those who want little.
    """
    total = max(1, int(of_cores * SLICES_PER_CORE))
    wanted = min(total, max(1, int(part * of_cores * SLICES_PER_CORE)))
    descriptor = _open(CORES)
    if descriptor is None:
        yield False
        return
    try:
        async with turn(QUEUE, wait_s=wait_s):
            came = await _sliced(descriptor, wanted, total, wait_s)
        yield came
    finally:
        os.close(descriptor)


async def _sliced(descriptor: int, wanted: int, total: int, wait_s: float) -> bool:
    until_s = asyncio.get_running_loop().time() + wait_s
    while asyncio.get_running_loop().time() < until_s:
        try:
            taken = 0
            for index in range(total):
                taken += taken < wanted and _take_byte(descriptor, index)
            if taken == wanted:
                return True
            _lock_bytes(descriptor, fcntl.F_UNLCK, 0, total)
        except OSError:
            return False
        await asyncio.sleep(POLL_S)
    return False


def _take_byte(descriptor: int, index: int) -> bool:
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
    path = PLACE / f"lanspread-{_user()}-{name}.lock"
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
