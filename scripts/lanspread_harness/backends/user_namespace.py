"""Rights without being root: the runner starts itself anew in a user namespace.

In it the user is root over namespaces of networks and mounts that belong to it, and over nothing
else. `/run`, where iproute2 keeps the names of network namespaces, is a memory file system of the
runner's own there. All of it is gone with the last process inside, however that ends.

Inside there is no network but the labs' own, so what is to be fetched is fetched before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.system_programs import LINK_CAPABILITIES, lacking, with_system_programs

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE = "LANSPREAD_USER_NAMESPACE"
"""Set inside, where another user namespace would bring nothing."""

UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--")

ENTER = """
if [ -d /run/netns ]; then mount -t tmpfs tmpfs /run/netns; else mount -t tmpfs tmpfs /run; fi &&
exec "$@"
"""

PROBE = "ip netns add probe && ip -n probe link set lo up"
"""Making a namespace and going into it takes each of the rights once."""

SYSCTLS = {
    "kernel.unprivileged_userns_clone": "0",
    "kernel.apparmor_restrict_unprivileged_userns": "1",
    "user.max_user_namespaces": "0",
    "user.max_net_namespaces": "0",
    "user.max_mnt_namespaces": "0",
}
"""Settings, each with the value that forbids it: of Debian, of Ubuntu, and of every kernel."""

SYSCTL_FILES = Path("/proc/sys")


def is_needed() -> bool:
    """Whether this process lacks rights that it might have in a user namespace."""
    return VARIABLE not in os.environ and lacking((), LINK_CAPABILITIES) is not None


def obstacle() -> str | None:
    """Why no user namespace can be entered here, in words, or `None` where one can."""
    missing = lacking(("unshare", "mount", "ip"), ())
    if missing is not None:
        return missing
    probe = subprocess.run(
        inside(["sh", "-c", PROBE]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=with_system_programs(os.environ),
    )
    if probe.returncode == 0:
        return None
    reason = forbidding_setting() or probe.stderr.decode("utf-8", "replace").strip()
    return f"it needs root or a user namespace, which is refused here: {reason}"


def forbidding_setting() -> str | None:
    """The setting of the system that is likely to forbid it, with its value."""
    for name, forbids in SYSCTLS.items():
        path = SYSCTL_FILES / name.replace(".", "/")
        if path.exists() and path.read_text("ascii").strip() == forbids:
            return f"sysctl {name} is {forbids}"
    return None


def inside(command: Sequence[str]) -> list[str]:
    """The command that runs a command in a user namespace."""
    return [*UNSHARE, "sh", "-c", ENTER, "sh", *command]


def enter() -> None:
    """Replace this process by the same command in a user namespace; does not return."""
    command = inside([sys.executable, *sys.orig_argv[1:]])
    os.execvpe(command[0], command, {**with_system_programs(os.environ), VARIABLE: "1"})
