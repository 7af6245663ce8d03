#!/usr/bin/env python3
"""Tells what happened in a run: `python3 scripts/trace.py RUN [S12 S39 …] [--failures …]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import enter_environment

if __name__ == "__main__":
    enter_environment()
    from lanspread_harness.trace.cli import main

    sys.exit(main())
