"""Another address for a peer, as a DHCP server gives it: the old one is gone at once.

The address belongs to the peer's namespace. Routes that went with the old address are set again, so
that all but the address is as before. The new address is announced by ARP, as DHCP clients do; no
program is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError
from lanspread_harness.network_namespaces import announce_address
from lanspread_harness.system_programs import tool

if TYPE_CHECKING:
    from collections.abc import Collection

    from lanspread_harness.backends import Attachment

SPARE_HOSTS = range(254, 249, -1)
"""Last bytes of addresses that no peer of a lab has."""

PREFIX_BITS = 24


@dataclass(frozen=True, slots=True)
class Readdressed:
    """A peer that has another address than it joined with."""

    attachment: Attachment
    address: str

    @classmethod
    async def make(cls, attachment: Attachment, taken: Collection[str]) -> Readdressed:
        """Take the peer's address away and give it one that is not taken."""
        subnet, _, _ = attachment.address.rpartition(".")
        spare = [f"{subnet}.{host}" for host in SPARE_HOSTS if f"{subnet}.{host}" not in taken]
        if not spare:
            raise BackendError(f"an address of {subnet}.0/{PREFIX_BITS} is left", ["all are taken"])
        changed = cls(attachment, spare[0])
        await changed._change(attachment.address, changed.address)
        return changed

    async def undo(self) -> None:
        """Give the peer the address it joined with."""
        try:
            await self._change(self.address, self.attachment.address)
        except BackendError:
            if self.attachment.peer_namespace.exists():
                raise
            # Its container ended; the next one starts with the address it always had.

    async def _change(self, old: str, new: str) -> None:
        interface = self.attachment.interface
        routes = await self._ip("route", "show", "dev", interface)
        # The kernel makes the routes of an address itself, and forgets the others with the last.
        kept = [line for line in routes.splitlines() if line.strip() and "proto kernel" not in line]
        await self._ip("address", "delete", f"{old}/{PREFIX_BITS}", "dev", interface)
        await self._ip("address", "add", f"{new}/{PREFIX_BITS}", "dev", interface)
        for route in kept:
            await self._ip("route", "replace", *route.split(), "dev", interface)
        announce_address(self.attachment.peer_namespace, interface, new)

    async def _ip(self, *arguments: str) -> str:
        namespace = f"--net={self.attachment.peer_namespace}"
        return await tool("nsenter", namespace, "ip", *arguments)
