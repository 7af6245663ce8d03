#!/usr/bin/env python3
"""Keeps labs open between shell calls: `python3 scripts/lab.py open demo`, and `--help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def interpreter() -> Path:
    """The one of the project's own virtual environment, which is made where it is not there."""
    from bootstrap import BootstrapError, ensure_environment

    try:
        return ensure_environment()
    except BootstrapError as error:
        print(f"environment: {error}", file=sys.stderr)
        sys.exit(3)


FACES = ("attach", "mcp")
"""Verbs that need packages themselves, while all others only ask a core that has them."""

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in FACES and not {"-h", "--help"} & set(sys.argv):
        from bootstrap import LAB, enter_environment

        enter_environment(LAB)
    from lanspread_lab.cli import main

    sys.exit(main(python=interpreter))
