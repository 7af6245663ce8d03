"""Games for scenarios: what they hold, and how they get onto a peer's disk.

A `Game` is a plan. Writing it twice gives the same bytes, so that several peers can hold the same
game, and a copy can be held against the plan.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from lanspread_harness.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MIB = 1024 * 1024

SENTINEL = "version.ini"
VERSION = "20240131"

STAMP_EVERY_BYTES = MIB
"""Distance of the stamps in a sparse file: no two chunks of any size are alike."""

STAMP_BYTES = 64


AGE_S = 3600
"""How old `age` makes files: far older than the times that tell a peer nothing."""


def age(directory: Path) -> None:
    """Make all files below a directory look as if they had been written long ago."""
    then_ns = time.time_ns() - AGE_S * 1_000_000_000
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(then_ns, then_ns))


@dataclass(frozen=True, slots=True)
class Noise:
    """A file of random bytes."""

    size: int

    def write(self, path: Path, rng: random.Random) -> None:
        """Write it."""
        with path.open("wb") as file:
            for start in range(0, self.size, MIB):
                file.write(rng.randbytes(min(MIB, self.size - start)))


@dataclass(frozen=True, slots=True)
class Sparse:
    """A file that is a hole but for a random stamp each `STAMP_EVERY_BYTES`.

    Takes next to no room and no time to make, whatever its size; a copy of it takes all its bytes.
    """

    size: int

    def write(self, path: Path, rng: random.Random) -> None:
        """Write it."""
        with path.open("wb") as file:
            file.truncate(self.size)
            for start in range(0, self.size, STAMP_EVERY_BYTES):
                file.seek(start)
                file.write(rng.randbytes(min(STAMP_BYTES, self.size - start)))


@dataclass(frozen=True, slots=True)
class Bytes:
    """A file of given bytes."""

    data: bytes

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.data)

    def write(self, path: Path, rng: random.Random) -> None:  # noqa: ARG002
        """Write it."""
        path.write_bytes(self.data)


@dataclass(frozen=True, slots=True)
class CopyOf:
    """A file that was made before, such as an archive."""

    source: Path

    @property
    def size(self) -> int:
        """Its length."""
        return self.source.stat().st_size

    def write(self, path: Path, rng: random.Random) -> None:  # noqa: ARG002
        """Copy it."""
        path.write_bytes(self.source.read_bytes())


Content: TypeAlias = Noise | Sparse | Bytes | CopyOf


@dataclass(frozen=True, slots=True)
class Game:
    """A game: its catalog entry and its files, the sentinel apart."""

    id: str
    files: dict[str, Content]
    seed: int
    version: str = VERSION
    title: str = field(default="")
    content_root: str | None = None
    """What the catalog says of the content, where it does."""

    @property
    def size(self) -> int:
        """Bytes of all content files: without the sentinel."""
        return sum(content.size for content in self.files.values())

    @property
    def sentinel(self) -> bytes:
        """What `version.ini` holds."""
        return f"{self.version}\n".encode()

    def catalog_entry(self) -> dict[str, str]:
        """Its entry in a JSON catalog."""
        entry = {"id": self.id, "title": self.title or self.id.title(), "version": self.version}
        return entry if self.content_root is None else {**entry, "content_root": self.content_root}

    def write(self, games_dir: Path, *, sentinel: str | None = SENTINEL) -> Path:
        """Write the game below a games directory and return its root.

        `sentinel` is the path of `version.ini` within the root; `None` leaves it out.
        """
        root = games_dir / self.id
        root.mkdir(parents=True)
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content.write(path, random.Random(f"{self.seed}/{self.id}/{name}"))
        if sentinel is not None:
            path = root / sentinel
            path.parent.mkdir(parents=True, exist_ok=True)
            # At once: half of it is a version that a running peer complains about.
            unfinished = games_dir / f".{self.id}.unfinished"
            unfinished.write_bytes(self.sentinel)
            unfinished.replace(path)
        return root

    def replace_in(self, games_dir: Path) -> Path:
        """Write the game in place of another version of it, and return its root.

        The old one has no sentinel any more before its files go, and the new one gets its sentinel
        last, so that a peer never sees a mixture that looks whole. What is installed stays.
        """
        root = games_dir / self.id
        (root / SENTINEL).unlink(missing_ok=True)
        fresh = games_dir / f".{self.id}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            staged = self.write(fresh, sentinel=None)
            root.mkdir(exist_ok=True)
            for old in root.iterdir():
                if old.name != "local":
                    shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
            for new in staged.iterdir():
                new.replace(root / new.name)
            sentinel = fresh / SENTINEL
            sentinel.write_bytes(self.sentinel)
            sentinel.replace(root / SENTINEL)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return root


async def make_rar(
    binary: Path,
    directory: Path,
    name: str,
    entries: Mapping[str, int],
    seed: int,
    *,
    executable: Iterable[str] = (),
    directories: Iterable[str] = (),
) -> Path:
    """Make a real RAR archive of entries with these sizes, and return its path."""
    command = [
        *(str(binary), "fixture", "--games-dir", str(directory), "--id", name, "--no-catalog"),
        *("--seed", str(seed), "--archive", "rar"),
        *(part for path, size in entries.items() for part in ("--entry", f"{path}={size}")),
        *(part for path in executable for part in ("--executable", path)),
        *(part for path in directories for part in ("--directory", path)),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    if process.returncode != 0:
        reason = stderr.decode("utf-8", "replace").strip()
        raise ScenarioError(f"the binary makes the archive {name}", [reason])
    return directory / name / f"{name}.eti"


async def content_root(binary: Path, directory: Path, game: Game) -> str:
    """The content root of a game, which the binary finds by reading a copy below `directory`."""
    games_dir = directory / f"{game.id}.hashed"
    await asyncio.to_thread(game.write, games_dir)
    catalog = games_dir / "catalog.json"
    command = [str(binary), "catalog", "write", "--games-dir", str(games_dir)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    if process.returncode != 0:
        reason = stderr.decode("utf-8", "replace").strip()
        raise ScenarioError(f"the binary writes a catalog of {game.id}", [reason])
    root: str = json.loads(catalog.read_text(encoding="utf-8"))["games"][0]["content_root"]
    await asyncio.to_thread(shutil.rmtree, games_dir)
    return root


def write_catalog(path: Path, games: Iterable[Game]) -> None:
    """Write a JSON catalog of these games."""
    entries = [game.catalog_entry() for game in games]
    path.write_text(json.dumps({"games": entries}, indent=1), encoding="utf-8")


def tree_digest(root: Path, *, without: Iterable[str] = ("local",)) -> dict[str, str]:
    """SHA-256 by relative path of every file below `root`, `local/` left out.

    Empty where there is no such directory.
    """
    skipped = set(without)
    digests: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and name.parts[0] not in skipped:
            with path.open("rb") as file:
                digests[name.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
