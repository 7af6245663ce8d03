"""Small disks for peers: memory file systems, which can be made full and larger again at will.

Each is mounted over the peer's home under a name that tells its runner. It must be there before the
peer starts, or its container would not see it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError
from lanspread_harness.identity import is_doomed, owned_name, owner_of, runner_identity
from lanspread_harness.output import print_stderr
from lanspread_harness.system_programs import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOUNTS = Path("/proc/self/mountinfo")

SHRINK_ATTEMPTS = 50
"""A disk cannot become smaller than what is on it, and its peer may be writing meanwhile."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted disk."""

    path: Path
    size_bytes: int

    def used_bytes(self) -> int:
        """What is taken of it."""
        usage = os.statvfs(self.path)
        return (usage.f_blocks - usage.f_bfree) * usage.f_frsize

    async def shrink(self, free_bytes: int) -> int:
        """Leave so much room and no more; the size it has then."""
        refusal: BackendError | None = None
        for _ in range(SHRINK_ATTEMPTS):
            size_bytes = self.used_bytes() + free_bytes
            try:
                await self._resize(size_bytes)
            except BackendError as error:
                refusal = error
            else:
                return size_bytes
        got = [] if refusal is None else refusal.evidence
        raise BackendError(f"{self.path} can be made smaller", got) from refusal

    async def restore(self) -> None:
        """Give it the size it had."""
        await self._resize(self.size_bytes)

    async def _resize(self, size_bytes: int) -> None:
        # Without this, `mount` would look for options in /etc/fstab and /etc/mtab.
        options = ("--options-source", "disable", "-o", f"remount,size={size_bytes}")
        await tool("mount", *options, "-t", "tmpfs", "none", str(self.path))


@asynccontextmanager
async def mounted(path: Path, size_mib: int) -> AsyncIterator[Disk]:
    """A disk at a path, which is left as a plain directory with all that was on the disk."""
    path.mkdir(parents=True)
    size_bytes = size_mib * 1024 * 1024
    options = f"size={size_bytes},mode=0755"
    await tool("mount", "-t", "tmpfs", "-o", options, owned_name("disk"), str(path))
    try:
        yield Disk(path, size_bytes)
    finally:
        kept = path.with_name(f"{path.name}.kept")
        try:
            await asyncio.to_thread(shutil.copytree, path, kept, symlinks=True)
        finally:
            await tool("umount", str(path))
        path.rmdir()
        kept.rename(path)


async def sweep_disks() -> None:
    """Unmount the disks of this runner and of runners that died, used or not.

    Another runner may do so at the same time. What a dead runner of another user left stays.
    """
    for path, source in reversed(_disks()):
        try:
            await tool("umount", "--lazy", str(path))
        except BackendError as error:
            if (path, source) not in _disks():
                continue
            if owner_of(source) == runner_identity():
                raise
            print_stderr(
                f"the disk that a killed run left at {path} stays: {' '.join(error.evidence)}"
            )


def _disks() -> list[tuple[Path, str]]:
    """Those that a sweep removes: where they are, and their names."""
    found: list[tuple[Path, str]] = []
    if not MOUNTS.exists():
        return found
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        mount, _, kind = line.partition(" - ")
        file_system, source, *_ = kind.split(" ")
        if file_system == "tmpfs" and is_doomed(source):
            found.append((Path(_unescape(mount.split(" ")[4])), source))
    return found


def _unescape(field: str) -> str:
    """Undo what the kernel does to blanks: a backslash and three octal digits."""
    for code in ("040", "011", "012", "134"):
        field = field.replace(f"\\{code}", chr(int(code, 8)))
    return field
