"""The guardian of a core: starts it, and cleans up when it dies, however it dies.

It does nothing while the core runs. A core that ends by itself has cleaned up; after one that was
killed the guardian removes its peers, networks, containers, disks and its socket. Where both are
killed, the next `open` does that.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_lab.places import place

if TYPE_CHECKING:
    from lanspread_lab.places import Place


def main() -> None:
    """Run the core with the arguments of this program."""
    arguments = sys.argv[1:]
    at = place(arguments[arguments.index("--name") + 1])
    backend = arguments[arguments.index("--backend") + 1]
    core = subprocess.Popen([sys.executable, "-m", "lanspread_lab.core", *arguments])
    # What whoever opened the lab reads from is the core's alone.
    sys.stdout.close()
    status = core.wait()
    try:
        if status < 0:
            print(f"the core was ended by signal {-status}; cleaning up", file=sys.stderr)
            _clean_up(backend)
    finally:
        forget(at)


def _clean_up(backend_name: str) -> None:
    from lanspread_harness.backend_factory import sweeping_backend
    from lanspread_harness.host_locks import SWEEP_LOCK, hold_lock
    from lanspread_lab.sweep import SWEEP_WAIT_S, sweep

    async def clean() -> None:
        backend = sweeping_backend(backend_name, Path(sys.executable))
        async with hold_lock(SWEEP_LOCK, wait_s=SWEEP_WAIT_S):
            await sweep(backend)

    asyncio.run(clean())


def forget(at: Place) -> None:
    """The lab is not open any more."""
    at.socket.unlink(missing_ok=True)
    at.info.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
