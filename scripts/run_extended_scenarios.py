#!/usr/bin/env python3
"""Runs the scenarios: `python3 scripts/run_extended_scenarios.py [S12 S39 …] [--backend …]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import enter_environment

if __name__ == "__main__":
    enter_environment()
    from lanspread_harness.cli import main

    sys.exit(main())
