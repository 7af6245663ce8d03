"""What is transferred: game roots, from which every contestant serves.

All serve the same files, so that the page cache holds them for all or for none. Each root is alone
in its games directory: a source would hash whatever else lay there while it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_bench.commands import run

if TYPE_CHECKING:
    from pathlib import Path

READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """One game root and how it is made."""

    id: str
    arguments: tuple[str, ...]
    """What `lanspread-peer-cli fixture` makes it from."""
    said: str
    """What it is, in words."""


ONE_GIB = Content("one-gib", ("--sized", "1GiB"), "1 GiB in one file")
HALF_GIB = Content("half-gib", ("--sized", "512MiB"), "512 MiB in one file")
QUARTER_GIB = Content("quarter-gib", ("--sized", "256MiB"), "256 MiB in one file")
SWARM = Content("swarm", ("--sized", "128MiB"), "128 MiB in one file")
SMALL_FILES = Content(
    "small-files", ("--files", "20000", "--file-size", "10KB"), "20,000 files of 10 KB"
)
LITTLE = Content("little", ("--sized", "64MiB"), "64 MiB in one file")
HUGE = Content("huge", ("--sparse", "8GiB"), "8 GiB in one sparse file")


class Contents:
    """The contents of one run, in a directory of its own."""

    def __init__(self, directory: Path, binary: Path) -> None:
        self.directory = directory
        self.catalog = directory.with_name("catalog.json")
        self._binary = binary

    def root(self, content: Content) -> Path:
        """Where a content is; made if it is not there yet."""
        games_dir = self.directory / content.id
        root = games_dir / content.id
        if not (root / "version.ini").exists():
            games_dir.mkdir(parents=True, exist_ok=True)
            run(
                [
                    *(str(self._binary), "fixture", "--games-dir", str(games_dir)),
                    *("--catalog", str(self.catalog), "--id", content.id, "--force"),
                    *content.arguments,
                ]
            )
        return root


def files_of(root: Path) -> list[Path]:
    """Every file of a root, in order, as a path within it."""
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def size_of(root: Path) -> int:
    """Bytes of all files of a root."""
    return sum((root / path).stat().st_size for path in files_of(root))


def read_all(root: Path) -> None:
    """Bring a root into the page cache, as far as it fits."""
    for path in files_of(root):
        with (root / path).open("rb", buffering=0) as file:
            while file.read(READ_BYTES):
                pass


def differs(original: Path, copy: Path) -> str | None:
    """What is not the same in a copy, or `None`. What is there in addition does not matter."""
    for path in files_of(original):
        if not (copy / path).is_file():
            return f"{path} is missing"
        with (original / path).open("rb") as ours, (copy / path).open("rb") as theirs:
            while True:
                expected, found = ours.read(READ_BYTES), theirs.read(READ_BYTES)
                if expected != found:
                    return f"{path} has other bytes"
                if not expected:
                    break
    return None
