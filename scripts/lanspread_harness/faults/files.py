"""Damages single files of a peer and repairs them: a flipped bit, a file that cannot be opened.

`FaultInjector` uses it. The file must exist, and a repair restores only what the fault changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file with no permission for anyone. Who has it open already may still read it."""

    path: Path
    mode: int

    @classmethod
    def make(cls, path: Path) -> Unreadable:
        """Take all permissions away."""
        mode = path.stat().st_mode & 0o7777
        path.chmod(0)
        return cls(path, mode)

    def repair(self) -> None:
        """Give them back, if the file is still there."""
        if self.path.exists():
            self.path.chmod(self.mode)


@dataclass(frozen=True, slots=True)
class FlippedBit:
    """A file with one wrong bit, and otherwise the same: size and times too, as on a bad disk."""

    path: Path
    offset: int
    left_as: tuple[int, int, int]
    """Inode, size and time of change, by which the file is known again."""

    @classmethod
    def make(cls, path: Path, offset: int) -> FlippedBit:
        """Turn over the lowest bit of a byte."""
        _flip(path, offset)
        return cls(path, offset, _marks(path))

    def repair(self) -> None:
        """Turn it back, unless the file was written to or replaced since."""
        if self.path.exists() and _marks(self.path) == self.left_as:
            _flip(self.path, self.offset)


def _marks(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        before = os.fstat(file.fileno())
        file.seek(offset)
        byte = file.read(1)
        if not byte:
            raise ValueError(f"{path} has no byte {offset}")
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
