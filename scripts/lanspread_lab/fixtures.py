"""The games of a lab: from sizes, from a directory, or with an archive."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanspread_harness.archives import SAMPLES, sample_rar
from lanspread_harness.fixtures import (
    MIB,
    SENTINEL,
    VERSION,
    Bytes,
    Content,
    CopyOf,
    Game,
    Noise,
    Sparse,
)
from lanspread_harness.lab import DEFAULT_GAME_BYTES
from lanspread_lab.errors import LabError
from lanspread_lab.values import size_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_lab.world import World

NOISE_MAX_BYTES = 16 * MIB
"""Larger files are sparse, so that they take no time to make; no two chunks of them are alike."""


async def make_game(world: World, game_id: str, wanted: dict[str, Any]) -> Game:
    """Plan a game by what a call asks for."""
    given = [name for name in ("files", "rar", "from") if wanted.get(name)]
    if len(given) > 1:
        raise LabError("lab-usage", f"a game is made from one of {', '.join(given)}")
    seed = world.settings.seed
    version = wanted.get("version") or VERSION
    files: dict[str, Content]
    if wanted.get("from"):
        directory = Path(str(wanted["from"]))
        files, found = await asyncio.to_thread(_copies, directory)
        version = wanted.get("version") or found or VERSION
    elif wanted.get("rar"):
        archive = await asyncio.to_thread(_archive, world, game_id, str(wanted["rar"]), version)
        files = {f"{game_id}.eti": archive}
    elif wanted.get("files"):
        files = _planned(wanted["files"])
    else:
        files = {f"{game_id}.eti": Noise(DEFAULT_GAME_BYTES)}
    if version != VERSION:
        # The bytes follow from the seed: another version of a game has others.
        seed += sum(version.encode())
    return Game(game_id, files, seed, version=version)


def _planned(words: Sequence[str]) -> dict[str, Content]:
    files: dict[str, Content] = {}
    for word in words:
        path, sign, size = word.rpartition("=")
        parts = Path(path).parts
        if not sign or not path or Path(path).is_absolute() or ".." in parts:
            raise LabError("lab-usage", f"{word!r} is not PATH=SIZE", "try quake.eti=64MiB")
        length = size_bytes(size)
        files[path] = Noise(length) if length <= NOISE_MAX_BYTES else Sparse(length)
    return files


def _copies(directory: Path) -> tuple[dict[str, Content], str | None]:
    """What lies in a directory, and the version that its `version.ini` states."""
    if not directory.is_dir():
        raise LabError("lab-usage", f"{directory} is no directory")
    files: dict[str, Content] = {}
    version = None
    for base, _, names in os.walk(directory):
        for name in sorted(names):
            path = Path(base) / name
            relative = path.relative_to(directory)
            if relative.parts[0] == "local":
                continue
            if relative.as_posix() == SENTINEL:
                version = path.read_text("utf-8", "replace").strip() or None
            elif path.is_file():
                files[relative.as_posix()] = CopyOf(path)
    if not files:
        raise LabError("lab-usage", f"{directory} holds no file of a game")
    return files, version


def _archive(world: World, game_id: str, kind: str, version: str) -> Bytes:
    if kind not in SAMPLES:
        kinds = ", ".join(SAMPLES)
        raise LabError("lab-usage", f"there is no archive {kind!r}", f"kinds are: {kinds}")
    return Bytes(sample_rar(kind, f"{world.settings.seed}/{game_id}/{version}"))
