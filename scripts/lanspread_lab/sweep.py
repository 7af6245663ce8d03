"""Takes away what dead labs and runs left: processes, networks, containers and disks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.exfat import sweep_exfat
from lanspread_harness.orphan_cleanup import kill_orphans

if TYPE_CHECKING:
    from lanspread_harness.backends import Backend

SWEEP_WAIT_S = 30.0


async def sweep(backend: Backend) -> None:
    """Remove it all. Peers go before their disks do."""
    await asyncio.to_thread(kill_orphans)
    await backend.sweep()
    await sweep_exfat()
    await sweep_disks()
