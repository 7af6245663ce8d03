"""What a scenario can break, and how it is put right again.

`Link` says how a link is bad. `FaultInjector`, which every lab is, breaks links, disks and files,
writes begin and end into the history, and undoes what it did whatever becomes of the scenario.

The links are not shaped by the kernel's `netem`, which many kernels are built without, but by a
small program between a peer and its switch (`link_shaper`): it works on every Linux, acts on single
packets, takes its chances from the scenario's seed, and counts what it did.
"""

from lanspread_harness.faults.impairment import Link
from lanspread_harness.faults.injector import FaultInjector

__all__ = ["FaultInjector", "Link"]
