"""Gets the others: from crates.io, PyPI and Debian, into a cache outside the repository.

Nothing is installed into the system. What cannot be had raises `LackingError` with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from dataclasses import dataclass, field
from pathlib import Path

from lanspread_bench.commands import run
from lanspread_bench.errors import BenchError, LackingError
from lanspread_harness.system_programs import find_program

SENDME_VERSION = "0.37.1"
LIBTORRENT_VERSION = "2.1.1"
LOWEST_PRIORITY = ("nice", "-n", "19")


@dataclass(frozen=True, slots=True)
class BinaryUnderTest:
    """A program and what its environment needs to have."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def cache_directory() -> Path:
    """Where the others are kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lanspread-bench"


def sendme(cache: Path) -> Path:
    """The sendme of `SENDME_VERSION`; building it takes many minutes, once."""
    root = cache / f"sendme-{SENDME_VERSION}"
    binary = root / "bin" / "sendme"
    if not binary.exists():
        _run(
            "sendme does not build",
            *(*LOWEST_PRIORITY, "cargo", "install", "sendme", "--version", SENDME_VERSION),
            *("--locked", "--root", str(root), "--target-dir", str(cache / "sendme-target")),
        )
        shutil.rmtree(cache / "sendme-target", ignore_errors=True)
    return binary


def libtorrent(cache: Path) -> Path:
    """The interpreter of an environment that has libtorrent."""
    directory = cache / f"libtorrent-{LIBTORRENT_VERSION}"
    python = directory / "bin" / "python"
    installed = directory / "installed"
    if not installed.exists():
        try:
            venv.create(directory, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise LackingError(f"no environment for libtorrent: {error}") from error
        _run(
            "libtorrent cannot be installed",
            *(str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"),
            f"libtorrent=={LIBTORRENT_VERSION}",
        )
        installed.touch()
    return python


def debian(cache: Path, package: str, program: str) -> BinaryUnderTest:
    """A program of the system, else of a Debian package that is unpacked into the cache."""
    found = find_program(program)
    if found is not None:
        return BinaryUnderTest(Path(found))
    root = cache / f"debian-{package}"
    libraries = ":".join(str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu")))
    for directory in ("usr/bin", "usr/sbin", "bin", "sbin"):
        if (root / directory / program).exists():
            return BinaryUnderTest(root / directory / program, {"LD_LIBRARY_PATH": libraries})
    if shutil.which("apt-get") is None:
        raise LackingError(f"{program} is not installed, and this is no Debian to take it from")
    archives = root / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    _run(
        f"the package {package} cannot be downloaded",
        *("apt-get", "install", "--download-only", "--yes", "--quiet", "--no-install-recommends"),
        *("-o", f"Dir::Cache::archives={archives}", package),
    )
    downloaded = sorted(archives.glob("*.deb"))
    if not downloaded:
        raise LackingError(f"the package {package} was not downloaded")
    for archive in downloaded:
        _run(f"{archive.name} cannot be unpacked", "dpkg", "--extract", str(archive), str(root))
    shutil.rmtree(archives)
    if not any((root / directory / program).exists() for directory in ("usr/bin", "usr/sbin")):
        raise LackingError(f"the package {package} has no {program}")
    return debian(cache, package, program)


def _run(what: str, *command: str) -> None:
    try:
        run(command)
    except BenchError as error:
        raise LackingError(f"{what}: {error}") from error
