"""Where labs are on this machine: their sockets, their directories, and their names.

A socket lies in `$XDG_RUNTIME_DIR/lanspread`, or where there is none below `/tmp`, in a directory
of this user alone. What a lab leaves behind lies in `$XDG_STATE_HOME/lanspread/labs`.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from lanspread_lab.errors import LabError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""Short, since the path of a socket has at most 107 bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one lab."""

    name: str
    socket: Path
    directory: Path

    @property
    def info(self) -> Path:
        """Whose lab it is, as JSON; there from the start of its core to its end."""
        return self.directory / "lab.json"

    @property
    def log(self) -> Path:
        """What the core and its guardian print."""
        return self.directory / "core.log"

    @property
    def world(self) -> Path:
        """The lab's peers, their disks and the history."""
        return self.directory / "lab"

    @property
    def outputs(self) -> Path:
        """Answers that were too long to be printed whole."""
        return self.directory / "outputs"


def sockets_directory() -> Path:
    """The directory of all sockets; made where it is not there. No other user may write there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    fallback = Path("/tmp") / f"lanspread-{os.geteuid()}"  # noqa: S108 - checked below
    directory = Path(runtime) / "lanspread" if runtime else fallback
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LabError(
            "lab-environment",
            f"{directory} belongs to somebody else",
            "set XDG_RUNTIME_DIR to a directory of your own",
        )
    directory.chmod(0o700)
    return directory


def state_directory() -> Path:
    """Where labs and runs keep what they leave behind."""
    base = os.environ.get("XDG_STATE_HOME")
    home = Path(base) if base else Path.home() / ".local" / "state"
    return home.absolute() / "lanspread"


def check_name(name: str, what: str = "lab") -> str:
    """The name itself, where it can be one."""
    if NAME.fullmatch(name) is None:
        raise LabError(
            "lab-usage",
            f"{name!r} is no name for a {what}",
            "use 1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
        )
    return name


def place(name: str) -> Place:
    """The files of the lab with this name, whether it is open or not."""
    check_name(name)
    directory = state_directory() / "labs" / name
    return Place(name, sockets_directory() / f"{name}.sock", directory)


def places() -> list[Place]:
    """All labs that have a socket or wrote down that they began, by name."""
    begun = (info.parent.name for info in (state_directory() / "labs").glob("*/lab.json"))
    bound = (socket.stem for socket in sockets_directory().glob("*.sock"))
    return [place(name) for name in sorted({*begun, *bound}) if NAME.fullmatch(name)]
