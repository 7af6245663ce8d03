#!/usr/bin/env python3
"""Keeps labs open between shell calls: `python3 scripts/lab.py open demo`, and `--help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def interpreter() -> Path:
    """The one of the project's own virtual environment, which is made where it is not there."""
    from bootstrap import BootstrapError, ensure_environment

    try:
        return ensure_environment(dev=False)
    except BootstrapError as error:
        print(f"environment: {error}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    from lanspread_lab.cli import main

    sys.exit(main(python=interpreter))
