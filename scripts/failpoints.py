#!/usr/bin/env python3
"""Proves that a release build holds no crash points: `python3 scripts/failpoints.py [BINARY]`.

The feature `failpoints` of lanspread-disk gives them names and hooks, for tests alone. It must be
in nothing that lanspread-peer-cli is built from, and no name of a point may be in the binary.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FEATURES = ("cargo", "tree", "--locked", "--edges", "features,no-dev", "-p", "lanspread-peer-cli")
POINT = re.compile(r'^ *[A-Z_]+ = "([^"]+)",$', re.MULTILINE)


def main() -> int:
    """Look at the features, and at a binary where one is given."""
    binary: Path | None = arguments().binary
    found = [] if binary is None else points_in(binary.read_bytes())
    tree = subprocess.run(FEATURES, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    found += [line.strip() for line in tree.stdout.splitlines() if '"failpoints"' in line]
    if found:
        sys.stderr.write(f"crash points are in the release build: {', '.join(found)}\n")
    return 1 if found else 0


def arguments() -> argparse.Namespace:
    """The arguments; ends the process where they are wrong, or ask for help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", nargs="?", type=Path, help="a release binary to look into")
    return parser.parse_args()


def points_in(binary: bytes) -> list[str]:
    """The names of crash points that a binary holds."""
    sources = sorted(REPOSITORY.glob("crates/*/src/points.rs"))
    names = [name for source in sources for name in POINT.findall(source.read_text("utf-8"))]
    if not names:
        raise SystemExit("no crate names a crash point")
    return [name for name in names if name.encode() in binary]


if __name__ == "__main__":
    sys.exit(main())
