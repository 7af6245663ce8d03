#!/usr/bin/env python3
"""Runs the scenarios: `python3 scripts/run_extended_scenarios.py [S12 S39 …] [--backend …]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import enter_environment


def check() -> None:
    """End the process where the arguments are wrong, or ask for help."""
    from lanspread_harness.cli import check_usage

    status = check_usage()
    if status is not None:
        sys.exit(status)


if __name__ == "__main__":
    enter_environment(check=check)
    from lanspread_harness.cli import main

    sys.exit(main())
