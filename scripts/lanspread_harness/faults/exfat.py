"""exFAT disks for games directories, through FUSE, as portable disks often are mounted.

exFAT ignores letter case and keeps no file modes and no links; over FUSE it draws new inodes at
each mount. An image is on a loop device, and its name tells its runner.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError
from lanspread_harness.identity import is_doomed, owned_name
from lanspread_harness.system_programs import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class ExfatDisk:
    """A mounted exFAT file system."""

    path: Path
    device: str

    async def remount(self) -> None:
        """Take it away and bring it back, as when somebody plugs it in again."""
        await tool("umount", str(self.path))
        await self.mount()

    async def mount(self) -> None:
        """Mount it at its path."""
        # The daemon ends when the disk is unmounted; its output would keep a pipe open until then.
        command = ("mount.exfat-fuse", self.device, str(self.path))
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()
        if not self.path.is_mount():
            raise BackendError(f"{' '.join(command)} works", ["nothing is mounted there"])


@asynccontextmanager
async def exfat_mounted(path: Path, size_mib: int) -> AsyncIterator[ExfatDisk]:
    """An exFAT disk at a path, which is left as a plain directory with all that was on the disk."""
    path.mkdir(parents=True)
    image = path.with_name(f"{owned_name('exfat')}.img")
    with image.open("wb") as file:
        file.truncate(size_mib * 1024 * 1024)
    await tool("mkfs.exfat", str(image))
    device = (await tool("losetup", "--find", "--show", str(image))).strip()
    disk = ExfatDisk(path, device)
    kept = path.with_name(f"{path.name}.kept")
    try:
        await disk.mount()
        try:
            yield disk
        finally:
            try:
                await asyncio.to_thread(shutil.copytree, path, kept)
            finally:
                await tool("umount", str(path))
    finally:
        await tool("losetup", "--detach", device)
        image.unlink()
    path.rmdir()
    kept.rename(path)


async def sweep_exfat() -> None:
    """Take away the exFAT disks of this runner and of runners that died."""
    if shutil.which("losetup") is None:
        return
    listed = await tool("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE")
    for line in listed.splitlines():
        device, _, image = line.strip().partition(" ")
        # A deleted image is listed with a remark behind its name.
        if not is_doomed(Path(image.strip().removesuffix(" (deleted)")).name):
            continue
        for mount in _mounts_of(device):
            await tool("umount", "--lazy", mount)
        await tool("losetup", "--detach", device)


def _mounts_of(device: str) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    mounts = [line.split(" ") for line in lines]
    return [fields[1] for fields in mounts if fields[0] == device]
