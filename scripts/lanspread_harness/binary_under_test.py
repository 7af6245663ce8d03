"""The binary under test, which must be the same from the first peer of a run to the last.

Backends check it before each peer starts and at the end of each lab. The docker backend takes an
image by the hash of the binary instead.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lanspread_harness.errors import EnvironmentLackingError, ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

SHOWN_DIGITS = 16
"""How much of a hash stands in a failure."""


class BinaryUnderTest:
    """The content that the file of the binary has when the run begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._marks = _marks(path)
            self.digest = digest_of(path)
        except OSError as error:
            raise EnvironmentLackingError(f"{path} cannot be read: {error.strerror}") from error

    def check(self) -> None:
        """Fail the scenario where the file has another content by now.

        It is read only where it looks changed, so this may be done for each peer.
        """
        try:
            marks = _marks(self.path)
            if marks == self._marks:
                return
            digest = digest_of(self.path)
        except OSError as error:
            raise _replaced([f"{self.path}: {error.strerror}"]) from error
        if digest != self.digest:
            before, now = (text[:SHOWN_DIGITS] for text in (self.digest, digest))
            raise _replaced([f"{self.path} had SHA-256 {before}…, and has {now}…"])
        self._marks = marks


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _marks(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _replaced(evidence: list[str]) -> ScenarioError:
    hint = "a build or a copy replaced it; leave it alone while it is tested"
    return ScenarioError("the binary is the one that the run began with", [*evidence, hint])
