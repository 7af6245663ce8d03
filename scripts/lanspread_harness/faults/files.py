"""Damage to single files, and its repair."""

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
    inode: int

    @classmethod
    def make(cls, path: Path, offset: int) -> FlippedBit:
        """Turn over the lowest bit of a byte."""
        flipped = cls(path, offset, path.stat().st_ino)
        flipped._flip()
        return flipped

    def repair(self) -> None:
        """Turn it back, if the file has not been replaced."""
        if self.path.exists() and self.path.stat().st_ino == self.inode:
            self._flip()

    def _flip(self) -> None:
        with self.path.open("r+b") as file:
            before = os.fstat(file.fileno())
            file.seek(self.offset)
            byte = file.read(1)
            if not byte:
                raise ValueError(f"{self.path} has no byte {self.offset}")
            file.seek(self.offset)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
