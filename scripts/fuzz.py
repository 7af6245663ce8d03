#!/usr/bin/env python3
"""Fuzzes all that reads bytes of others: `python3 scripts/fuzz.py [TARGET …] --minutes 10`.

Builds `fuzz/` with the pinned toolchain, address sanitizer and coverage, runs the targets on all
processors, and prints a line for each. The exit status is 1 when one of them crashes,
hangs or takes too much memory; the input lies in `fuzz/artifacts/TARGET` then. What is found grows
`fuzz/corpus`. `--minutes 0` runs the seeds and the corpus alone.

Seeds come from the tests: bytes of golden snapshots, the corpus of JSON lines, real archives,
and `fuzz/seeds`, where an input belongs that once crashed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
FUZZ = REPOSITORY / "fuzz"
TRIPLE = "x86_64-unknown-linux-gnu"
BINARIES = FUZZ / "target" / TRIPLE / "release"

MAX_LEN = {
    "codec": 8192,
    "messages": 8192,
    "pages": 8192,
    "manifest": 8192,
    "path": 1200,
    "journal": 4096,
    "index": 8192,
    "catalog_json": 8192,
    "catalog_sqlite": 32768,
    "rar_names": 8192,
    "rar": 65536,
    "jsonl": 8192,
    "scheduler": 4096,
}
"""Every target, with the longest input that is tried."""

RSS_LIMIT_MB = 3072
"""No reader may take more than this, whatever it reads; most of it is the sanitizer's own."""
TIMEOUT_S = 30
"""For one input. None takes a tenth of it on an idle machine."""

RUSTFLAGS = (
    "-Zsanitizer=address",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Cforce-frame-pointers",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
)
"""As cargo-fuzz sets them, which is not needed here."""

RUNS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
SPEED = re.compile(r"stat::average_exec_per_sec:\s+(\d+)")
COVERAGE = re.compile(r"\bcov: (\d+) ft: (\d+) corp: (\d+)")
FAULT = re.compile(
    r"^(?:==\d+==\s*)?(ERROR: .*|thread .* panicked at .*|SUMMARY: .*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target."""

    target: str
    line: str
    is_clean: bool


def build() -> None:
    """Builds every target."""
    environment = os.environ | {
        # The pinned compiler takes the unstable flags of sanitizers by this.
        "RUSTC_BOOTSTRAP": "1",
        "RUSTFLAGS": " ".join(RUSTFLAGS),
        f"CC_{TRIPLE.replace('-', '_')}": str(FUZZ / "native" / "cc"),
        f"CXX_{TRIPLE.replace('-', '_')}": str(FUZZ / "native" / "cxx"),
    }
    command = ["cargo", "build", "--release", "--locked", "--bins", "--target", TRIPLE]
    subprocess.run(command, cwd=FUZZ, env=environment, check=True)


def dumps(name: str) -> Iterator[tuple[str, bytes]]:
    """The titles and the bytes in a snapshot of hex dumps."""
    path = REPOSITORY / "crates/lanspread-proto/tests/snapshots" / f"golden__{name}.snap"
    _, _, text = path.read_text().partition("\n---\n")
    for block in text.strip().split("\n\n"):
        title, *lines = block.splitlines()
        digits = "".join(line[6:53] for line in lines)
        yield title, bytes.fromhex(digits)


def wire_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds of all that travels between peers."""
    for name in ("requests", "responses", "frames"):
        for _, frame in dumps(name):
            yield "codec", bytes([7]) + frame
            yield "messages", frame[4:]
    for title, page in dumps("pages"):
        if title.startswith("layout"):
            yield "manifest", bytes([1]) + page
        for kind in range(4):
            yield "pages", bytes([kind]) + page
            yield "pages", bytes([kind, 3]) + page


def line_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds of lines of input."""
    corpus = REPOSITORY / "crates/lanspread-peer-cli/tests/corpus"
    for line in (corpus / "accepted.jsonl").read_bytes().splitlines():
        if b'"cmd"' in line:
            yield "jsonl", line
    for refused in (corpus / "refused.jsonl").read_text().splitlines():
        yield "jsonl", json.dumps(json.loads(refused)["line"]).encode()


def catalog_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds of catalogs in both formats."""
    root = hashlib.sha256(b"root").hexdigest()
    games = [
        {"id": "quake", "title": "Quake", "version": "20240131"},
        {"version": "1", "id": "doom", "title": "Doom", "content_root": root, "size": 7},
        {"id": "a b", "title": "\u00c4", "version": "x", "max_players": 4, "publisher": "p"},
    ]
    for indent in (None, 2):
        yield "catalog_json", json.dumps({"games": games}, indent=indent).encode()
    for mode in ("delete", "wal"):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "game.db"
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA page_size = 512")
            connection.execute(f"PRAGMA journal_mode = {mode}")
            connection.execute(
                "CREATE TABLE games"
                " (game_id, game_title TEXT, game_version INTEGER, game_size REAL)"
            )
            connection.execute("INSERT INTO games VALUES ('quake', 'Quake', 20240131, 1.5)")
            connection.execute("INSERT INTO games VALUES (4711, 'N', 'v', 8)")
            connection.commit()
            connection.close()
            yield "catalog_sqlite", path.read_bytes()


def journal_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds of journals, without the checks, which the target makes."""
    digest = hashlib.sha256(b"root").hexdigest()
    header = json.dumps({"version": "20240131", "manifest_hash": digest, "root": digest}).encode()
    records = [(1, 0), (1, 1), (2, 0), (3, 0), (4, 0)]
    for count in range(len(records) + 1):
        bodies = (
            bytes([kind]) + chunk.to_bytes(4, "little") + bytes(36)
            for kind, chunk in records[:count]
        )
        yield "journal", len(header).to_bytes(4, "little") + header + b"".join(bodies)


def name_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds of names and of what the external program prints."""
    names = (
        "a/b.txt",
        "id1/pak0.pak",
        "aux.dat",
        "../x",
        "20240131\r\n",
        "\u05e9\u200f",
        "x\u202ey",
    )
    for name in names:
        yield "path", name.encode()
        yield "rar_names", name.encode("utf-16-le")
        yield "rar_names", name.encode("utf-32-le")
    entry = "        Name: {}\n        Type: {}\n        Size: 3\n       CRC32: 352441C2\n\n"
    head = "\nUNRAR 7.01 freeware\n\nArchive: game.eti\nDetails: RAR 5, solid\n\n"
    listing = head + entry.format("a.txt", "File") + entry.format("d", "Directory")
    yield "rar_names", listing.encode()


def archive_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds of archives, with their checksums as they are and corrected."""
    for path in sorted((REPOSITORY / "crates/lanspread-archive/tests/data").glob("*.rar")):
        content = path.read_bytes()
        if len(content) < MAX_LEN["rar"]:
            yield "rar", b"\0" + content
            yield "rar", b"\1" + content


def kept_seeds() -> Iterator[tuple[str, bytes]]:
    """Seeds that are files of their own."""
    for target in MAX_LEN:
        for path in sorted((FUZZ / "seeds" / target).glob("*")):
            yield target, path.read_bytes()


def write_seeds(directory: Path) -> None:
    """Writes a directory of seeds for each target."""
    for target in MAX_LEN:
        (directory / target).mkdir(parents=True)
    sources = (
        wire_seeds,
        line_seeds,
        catalog_seeds,
        journal_seeds,
        name_seeds,
        archive_seeds,
        kept_seeds,
    )
    for source in sources:
        for target, content in source():
            (directory / target / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def run(target: str, seeds: Path, minutes: float) -> Outcome:
    """Runs one target."""
    corpus, artifacts = FUZZ / "corpus" / target, FUZZ / "artifacts" / target
    corpus.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    bound = f"-max_total_time={round(minutes * 60)}" if minutes > 0 else "-runs=0"
    command = [
        str(BINARIES / target),
        bound,
        f"-max_len={MAX_LEN[target]}",
        f"-rss_limit_mb={RSS_LIMIT_MB}",
        f"-timeout={TIMEOUT_S}",
        f"-artifact_prefix={artifacts}/",
        "-print_final_stats=1",
        str(corpus),
        str(seeds / target),
    ]
    # A large allocation that fails is an answer that the UnRAR library expects. It also has static
    # tables of one name in two files, which the sanitizer takes for a clash.
    options = "allocator_may_return_null=1:detect_odr_violation=0"
    environment = os.environ | {"ASAN_OPTIONS": options}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    said = ended.stderr.decode(errors="replace")
    (artifacts / "log").write_text(said)
    runs, speed, coverage = RUNS.search(said), SPEED.search(said), COVERAGE.findall(said)
    branches, features, inputs = coverage[-1] if coverage else ("?", "?", "?")
    line = (
        f"{target:15} {int(runs[1]) if runs else 0:>10} runs {speed[1] if speed else '?':>7}/s"
        f"  cov {branches:>6}  ft {features:>6}  corpus {inputs:>5}"
    )
    if ended.returncode == 0:
        return Outcome(target, f"{line}  clean", is_clean=True)
    fault = FAULT.search(said)
    found = max(artifacts.glob("*-*"), key=lambda path: path.stat().st_mtime, default=artifacts)
    why = fault[1] if fault else f"exit status {ended.returncode}"
    return Outcome(target, f"{line}  CRASHED: {why}; see {found}", is_clean=False)


def main(arguments: Sequence[str]) -> int:
    """Builds, runs, and returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(MAX_LEN))
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target [1]")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="at a time [processors]"
    )
    parser.add_argument("--no-build", action="store_true", help="run what was built before")
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(MAX_LEN)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    if not options.no_build:
        build()
    targets = options.targets or list(MAX_LEN)
    is_clean = True
    with tempfile.TemporaryDirectory() as directory:
        seeds = Path(directory)
        write_seeds(seeds)
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = pool.map(lambda target: run(target, seeds, options.minutes), targets)
            for outcome in outcomes:
                print(outcome.line, flush=True)
                is_clean = is_clean and outcome.is_clean
    if is_clean:
        shutil.rmtree(FUZZ / "artifacts", ignore_errors=True)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
