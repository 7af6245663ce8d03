"""Finds and runs the system's programs that backends and faults need, such as `ip` and `mount`.

It says what is missing and how to get it, and installs nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "umount": "mount",
    "losetup": "mount",
    "mkfs.exfat": "exfatprogs",
    "mount.exfat-fuse": "exfat-fuse",
}
"""What each program is part of on Debian and its children; elsewhere the names are much alike."""

SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where programs of the administrator lie, which many users do not have on PATH."""

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
"""Their numbers in `<linux/capability.h>`."""

LINK_CAPABILITIES = tuple(CAPABILITIES)
"""What it takes to make network namespaces, and to cut and shape the links between them."""


async def tool(*command: str, stdin: str = "") -> str:
    """Run a program to its end and return what it printed; failure raises `BackendError`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=with_system_programs(os.environ),
    )
    stdout, stderr = await process.communicate(stdin.encode())
    if process.returncode != 0:
        reason = stderr.decode("utf-8", "replace").strip()
        got = reason or f"exit status {process.returncode}"
        raise BackendError(f"{' '.join(command)} works", [got, *stdin.splitlines()])
    return stdout.decode("utf-8", "replace")


def with_system_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which programs are also found, by others as well, where PATH does not look.

    PATH goes first.
    """
    path = ":".join([*filter(None, [environment.get("PATH")]), *SYSTEM_DIRECTORIES])
    return {**environment, "PATH": path}


def find_program(name: str) -> str | None:
    """The absolute path of a program of the system."""
    return shutil.which(name, path=with_system_programs(os.environ)["PATH"])


def lacking(programs: tuple[str, ...], capabilities: tuple[str, ...]) -> str | None:
    """Which of these programs or rights is not there, in words, or `None` when all are."""
    if sys.platform != "linux":
        return "it needs Linux"
    for program in programs:
        if find_program(program) is None:
            places = ", ".join(("PATH", *SYSTEM_DIRECTORIES))
            return f"{program} is not installed (package {PACKAGES[program]}); looked in {places}"
    effective = _effective_capabilities()
    missing = [name for name in capabilities if not effective >> CAPABILITIES[name] & 1]
    if missing:
        return f"it needs {' and '.join(missing)}, so run it as root"
    return None


def lacking_for_disks() -> str | None:
    """Why peers can have no disks of their own here, or `None` when they can."""
    return lacking(("mount", "umount"), ("CAP_SYS_ADMIN",))


EXFAT_PROGRAMS = ("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount")
EXFAT_DEVICES = (Path("/dev/fuse"), Path("/dev/loop-control"))


def lacking_for_exfat() -> str | None:
    """Why there can be no exFAT disk here, or `None` when there can."""
    reason = lacking(EXFAT_PROGRAMS, ("CAP_SYS_ADMIN",))
    unusable = [path for path in EXFAT_DEVICES if not os.access(path, os.R_OK | os.W_OK)]
    if reason is None and unusable:
        return f"{unusable[0]} cannot be used"
    return reason


def lacking_for_links() -> str | None:
    """Why links can be neither cut nor shaped here, or `None` when they can."""
    return lacking(("ip", "nft", "nsenter"), LINK_CAPABILITIES)


def without_privileges() -> list[str]:
    """What to put before a peer's command, so that file permissions hold for it.

    A peer started by root may read any file whatever its mode says; without capabilities it is
    held to them like everyone. Empty where the runner has no such privileges to give away.
    """
    setpriv = find_program("setpriv")
    if sys.platform != "linux" or os.geteuid() != 0 or setpriv is None:
        return []
    return [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--"]


def _effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
