#!/usr/bin/env python3
"""Writes `scenarios/README.md` from the scenarios; `--check` only tells whether it is current."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import REPOSITORY, enter_environment


def main() -> int:
    """Write or check the index."""
    from lanspread_harness.output import print_stderr
    from lanspread_harness.scenario import discover
    from lanspread_harness.scenario_index import render_index

    check: bool = arguments().check
    path = REPOSITORY / "scenarios" / "README.md"
    index = render_index(discover(path.parent))
    if path.exists() and path.read_text(encoding="utf-8") == index:
        return 0
    if check:
        print_stderr(f"{path} is stale; run python3 scripts/scenario_index.py")
        return 1
    path.write_text(index, encoding="utf-8")
    return 0


def arguments() -> argparse.Namespace:
    """The arguments; ends the process where they are wrong, or ask for help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    return parser.parse_args()


if __name__ == "__main__":
    enter_environment(check=arguments)
    from lanspread_harness.output import run_program

    sys.exit(run_program(main))
