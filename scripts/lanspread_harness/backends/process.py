"""Runs peers as plain processes on loopback. Needs nothing but the binary.

Each peer has an address of its own in 127.0.0.0/8, as what peers count by address is to hold here
as well. All share one interface, so there is no link to cut or shape, and mDNS works where loopback
carries multicast. File modes hold for peers: one that root starts gives its privileges up.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from lanspread_harness.backends import (
    ExitStatus,
    Need,
    PipedProcess,
    hostile_beside,
    lacking_hostile,
)
from lanspread_harness.backends.subnets import host_address
from lanspread_harness.binary_under_test import BinaryUnderTest
from lanspread_harness.errors import BackendError
from lanspread_harness.system_programs import (
    lacking_for_disks,
    lacking_for_exfat,
    without_privileges,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from lanspread_harness.backends import Attachment

LOOPBACK_INTERFACE = "lo"
MDNS_GROUP = "224.0.0.251"

SHARED_ADDRESS = "127.0.0.1"
"""Of all peers where the system has no other address of loopback, as macOS has none."""

FIRST_OF_LABS = 2
"""The second byte of the first address that labs take: others like 127.0.x.x and 127.1.x.x."""

LABS_SECOND_BYTES = 253
"""So many second bytes there are, up to 254."""


class LocalPeer(PipedProcess):
    """A peer that is a child of the runner, leader of its own process group."""

    def pid(self) -> int | None:
        """The child's: whatever is put before the peer becomes the peer."""
        return self.process.pid

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the peer alone."""
        # It may have ended without the event loop knowing yet.
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def wait(self) -> ExitStatus:
        """Wait for the end."""
        return ExitStatus.of_process(await self.process.wait())

    async def destroy(self) -> None:
        """Kill the whole process group, whatever state it is in."""
        if self.process.returncode is None:
            # It may have ended without the event loop knowing yet.
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.stdin.close()
        await self.process.wait()


class ProcessHost:
    """The processes of one lab."""

    def __init__(
        self, binary: BinaryUnderTest, started: list[LocalPeer], subnet: str | None
    ) -> None:
        self._binary = binary
        self._started = started
        self._subnet = subnet
        self._addresses: dict[str, str] = {}

    def address(self, peer: str) -> str:
        """The peer's own address of loopback, which it keeps over restarts."""
        if self._subnet is None:
            return SHARED_ADDRESS
        return self._addresses.setdefault(peer, host_address(self._subnet, len(self._addresses)))

    def listen_address(self, peer: str) -> str:
        """A free port of the peer's own address."""
        return f"{self.address(peer)}:0"

    def mdns_interface(self) -> str:
        """Loopback, so that nothing leaves the machine."""
        return LOOPBACK_INTERFACE

    def uses_arp(self) -> bool:
        """There is no Ethernet on loopback."""
        return False

    def reachable(self, peer: str, listen_addr: str) -> str:  # noqa: ARG002
        """The address itself: it is the peer's own."""
        return listen_addr

    async def start(
        self,
        peer: str,  # noqa: ARG002
        run: int,  # noqa: ARG002
        arguments: Sequence[str],
        stderr: Path,
    ) -> LocalPeer:
        """Start a process."""
        self._binary.check()
        return await self._start(self._binary.path, arguments, stderr)

    async def start_hostile(
        self,
        name: str,  # noqa: ARG002
        arguments: Sequence[str],
        stderr: Path,
    ) -> LocalPeer:
        """Start a process; its address is among its arguments."""
        return await self._start(hostile_beside(self._binary.path), arguments, stderr)

    async def _start(self, program: Path, arguments: Sequence[str], stderr: Path) -> LocalPeer:
        command_line = [*without_privileges(), str(program), *arguments]
        started = LocalPeer(await PipedProcess.spawn(command_line, stderr), command_line)
        self._started.append(started)
        return started

    async def attachment(self, peer: str) -> Attachment:
        """There is none: all peers share loopback."""
        got = "none on the backend process; say that META needs Need.LINKS"
        raise BackendError("a link of its own", [got], about=peer)

    async def udp_socket(self, peer: str) -> socket.socket:
        """It is bound to a free port of the peer's address."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((self.address(peer), 0))
        return sock


class ProcessBackend:
    """Runs peers as processes."""

    name = "process"

    def __init__(self, binary: Path) -> None:
        self._binary = BinaryUnderTest(binary)

    def unsupported(self, needs: frozenset[Need]) -> str | None:
        """MDNS needs a loopback interface that carries multicast."""
        if Need.MDNS in needs and not _loopback_carries_multicast():
            return f"{LOOPBACK_INTERFACE} carries no multicast here; the backend docker has it"
        if Need.PERMISSIONS in needs and os.geteuid() == 0 and not without_privileges():
            return "file modes do not hold for root, and setpriv is not there to change that"
        if needs & {Need.LINKS, Need.NAMESPACES}:
            return "peers share loopback; the backends netns and docker give each a link of its own"
        lacking = None
        if Need.HOSTILE in needs:
            lacking = lacking_hostile(self._binary.path)
        if Need.DISKS in needs:
            lacking = lacking or lacking_for_disks()
        if Need.EXFAT in needs:
            lacking = lacking or lacking_for_exfat()
        return lacking

    @asynccontextmanager
    async def open(self, lab_id: str, directory: Path) -> AsyncIterator[ProcessHost]:  # noqa: ARG002
        """A host whose processes are all gone when it closes."""
        started: list[LocalPeer] = []
        subnet = loopback_subnet(lab_id)
        try:
            yield ProcessHost(self._binary, started, subnet if _is_of_loopback(subnet) else None)
            self._binary.check()
        finally:
            for peer in started:
                await peer.destroy()

    async def check_directory(self, directory: Path) -> None:
        """Peers see what the runner sees."""

    async def sweep(self) -> None:
        """Nothing of its own: `orphan_cleanup` ends what a runner started."""

    async def close(self) -> None:
        """It holds nothing."""


def loopback_subnet(lab_id: str) -> str:
    """The first three bytes of a lab's addresses: of two labs at a time they hardly ever agree."""
    second, third = hashlib.blake2b(lab_id.encode(), digest_size=2).digest()
    return f"127.{FIRST_OF_LABS + second % LABS_SECOND_BYTES}.{third}"


def _is_of_loopback(subnet: str) -> bool:
    """Whether the system takes the addresses of a subnet for its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host_address(subnet, 0), 0))
        except OSError:
            return False
    return True


def _loopback_carries_multicast() -> bool:
    try:
        index = socket.if_nametoindex(LOOPBACK_INTERFACE)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = socket.inet_aton(MDNS_GROUP) + socket.inet_aton("127.0.0.1")
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            return index > 0
    except OSError:
        return False
