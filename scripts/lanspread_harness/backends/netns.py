"""Peers as processes, each in a network namespace of its own, on a bridge in a further one.

A lab is one *switch* namespace with a bridge in it, and a namespace for each peer that is tied to
the bridge by a veth pair: `eth0` inside, `p1`, `p2` … on the switch. Nothing of it
appears in the namespace of the machine: no interface, no address, no route and no rule of its
firewall, and no packet can leave. So the addresses of two labs may even be the same.

Namespaces are named `lanspread-run.<runner>.<lab>.<member>`, with the runner's `identity`. Sweeping
removes those of this runner and of runners that are known to be dead, with all that runs inside.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.backends import (
    Attachment,
    Need,
    PipedProcess,
    hostile_beside,
    lacking_hostile,
    user_namespace,
)
from lanspread_harness.backends.process import LocalPeer
from lanspread_harness.backends.subnets import CAPACITY, SUBNETS, host_address
from lanspread_harness.binary_under_test import BinaryUnderTest
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.identity import PREFIX, is_doomed, owned_name, unique_token
from lanspread_harness.network_namespaces import socket_in
from lanspread_harness.system_programs import (
    LINK_CAPABILITIES,
    find_program,
    lacking,
    lacking_for_exfat,
    tool,
    without_privileges,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PROGRAMS = ("ip", "nft", "nsenter", "setpriv", "mount", "umount")
"""What it is made and broken with."""

NAMESPACES = Path("/run/netns")

REMOVE_ATTEMPTS = 20
REMOVE_PAUSE_S = 0.1
"""Whoever removes a namespace at the same time is done within this."""

SWITCH = "switch"
BRIDGE = "lan"
INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class Member:
    """A peer's place in its lab."""

    namespace: str
    port: str
    address: str


class NetnsHost:
    """The namespaces of one lab."""

    def __init__(
        self, lab_id: str, subnet: str, binary: BinaryUnderTest, started: list[LocalPeer]
    ) -> None:
        self._lab_id = lab_id
        self._subnet = subnet
        self._binary = binary
        self._started = started
        self._members: dict[str, Member] = {}
        self._plugging = asyncio.Lock()

    def listen_address(self, peer: str) -> str:  # noqa: ARG002
        """Any address of the namespace, any port."""
        return "0.0.0.0:0"

    def mdns_interface(self) -> str:
        """The link to the bridge."""
        return INTERFACE

    def uses_arp(self) -> bool:
        """No: every member has all entries from the start; see `_arp_entries`."""
        return False

    def reachable(self, peer: str, listen_addr: str) -> str:
        """The peer's address on the bridge with the port it listens on."""
        _, _, port = listen_addr.rpartition(":")
        return f"{self._members[peer].address}:{port}"

    async def start(
        self,
        peer: str,
        run: int,  # noqa: ARG002
        arguments: Sequence[str],
        stderr: Path,
    ) -> LocalPeer:
        """Start a process; a peer keeps its namespace and address over restarts."""
        self._binary.check()
        return await self._start(peer, self._binary.path, arguments, stderr)

    async def start_hostile(self, name: str, arguments: Sequence[str], stderr: Path) -> LocalPeer:
        """Start a process in a namespace of its own."""
        return await self._start(name, hostile_beside(self._binary.path), arguments, stderr)

    async def _start(
        self, name: str, program: Path, arguments: Sequence[str], stderr: Path
    ) -> LocalPeer:
        if name not in self._members:
            await self._join(name)
        # `nsenter` and `setpriv` become the peer, so signals and exit status are the peer's own.
        nsenter = find_program("nsenter") or "nsenter"
        enter = [nsenter, f"--net={NAMESPACES / self._members[name].namespace}", "--"]
        command_line = [*enter, *without_privileges(), str(program), *arguments]
        started = LocalPeer(await PipedProcess.spawn(command_line, stderr), command_line)
        self._started.append(started)
        return started

    async def attachment(self, peer: str) -> Attachment:
        """Where the peer hangs on the lab's bridge."""
        member = self._members[peer]
        return Attachment(
            peer_namespace=NAMESPACES / member.namespace,
            interface=INTERFACE,
            switch_namespace=NAMESPACES / owned_name(self._lab_id, SWITCH),
            bridge=BRIDGE,
            port=member.port,
            address=member.address,
        )

    async def udp_socket(self, peer: str) -> socket.socket:
        """In the peer's namespace, as the machine itself reaches none of them."""
        attachment = await self.attachment(peer)
        return socket_in(attachment.peer_namespace, socket.AF_INET, socket.SOCK_DGRAM)

    async def _join(self, peer: str) -> None:
        number = len(self._members) + 1
        member = Member(
            owned_name(self._lab_id, f"{number}"),
            f"p{number}",
            host_address(self._subnet, number - 1),
        )
        self._members[peer] = member
        await tool("ip", "netns", "add", member.namespace)
        # No IPv6 address of its own: peers have exactly the one address that faults look at.
        await _ip_batch(
            owned_name(self._lab_id, SWITCH),
            f"link add {member.port} type veth peer name {INTERFACE} netns {member.namespace}",
            f"link set {member.port} addrgenmode none",
            f"link set {member.port} master {BRIDGE}",
            f"link set {member.port} up",
        )
        await _ip_batch(
            member.namespace,
            "link set lo up",
            f"link set {INTERFACE} addrgenmode none address {hardware_address(member.address)}",
            f"address add {member.address}/24 dev {INTERFACE}",
            f"link set {INTERFACE} up",
            f"route add 224.0.0.0/4 dev {INTERFACE}",
            *self._arp_entries(member),
        )

    def _arp_entries(self, member: Member) -> list[str]:
        """Commands that give a member an entry for every other, so that nobody asks by ARP.

        What the kernel learns by asking, it keeps in one table for all namespaces together, which
        holds 1,024 entries by default; 50 peers that all know each other would need 2,450.
        """
        addresses = [host_address(self._subnet, index) for index in range(CAPACITY)]
        return [
            f"neighbour add {address} lladdr {hardware_address(address)} dev {INTERFACE}"
            for address in addresses
            if address != member.address
        ]


class NetnsBackend:
    """Runs peers in network namespaces."""

    name = "netns"

    def __init__(self, binary: Path, seed: int) -> None:
        self._binary = BinaryUnderTest(binary)
        self._random = random.Random(f"{seed} {unique_token()}")

    def unsupported(self, needs: frozenset[Need]) -> str | None:
        """Whoever may make namespaces may do all that scenarios ask for, but for loop devices."""
        lacking = lacking_hostile(self._binary.path) if Need.HOSTILE in needs else None
        if Need.EXFAT in needs:
            lacking = lacking or lacking_for_exfat()
        return lacking

    @asynccontextmanager
    async def open(self, lab_id: str, directory: Path) -> AsyncIterator[NetnsHost]:  # noqa: ARG002
        """A host with a bridge of its own; bridge, namespaces and peers go when it closes."""
        started: list[LocalPeer] = []
        switch = owned_name(lab_id, SWITCH)
        try:
            await tool("ip", "netns", "add", switch)
            # A switch that floods all multicast, and ports that forward from the first packet on.
            await _ip_batch(
                switch,
                f"link add {BRIDGE} type bridge mcast_snooping 0 stp_state 0 forward_delay 0",
                f"link set {BRIDGE} addrgenmode none",
                f"link set {BRIDGE} up",
            )
            yield NetnsHost(lab_id, self._random.choice(SUBNETS), self._binary, started)
            self._binary.check()
        finally:
            for peer in started:
                await peer.destroy()
            await _remove(
                [name for name in namespaces() if name.startswith(switch[: -len(SWITCH)])]
            )

    async def check_directory(self, directory: Path) -> None:
        """Peers see what the runner sees."""

    async def sweep(self) -> None:
        """Remove namespaces of this runner and of runners that died."""
        await _remove([name for name in namespaces() if is_doomed(name)])

    async def close(self) -> None:
        """It holds nothing."""


def check_namespaces(*, enter: bool = False) -> None:
    """Raise `EnvironmentLackingError` unless namespaces can be made and their links broken.

    With `enter` it is enough that this process can go to where they can: into a user namespace.
    """
    if enter and user_namespace.is_needed():
        reason = lacking(PROGRAMS, ()) or user_namespace.obstacle()
    else:
        reason = lacking(PROGRAMS, LINK_CAPABILITIES)
    if reason is not None:
        raise EnvironmentLackingError(f"backend netns: {reason}")


def namespaces() -> list[str]:
    """All namespaces that runners made, living or not."""
    return sorted(path.name for path in NAMESPACES.glob(f"{PREFIX}.*"))


def hardware_address(address: str) -> str:
    """The MAC address that goes with an IPv4 address: locally administered, as of a lab."""
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])


async def _ip_batch(namespace: str, *commands: str) -> None:
    await tool("ip", "-n", namespace, "-batch", "-", stdin="\n".join(commands) + "\n")


async def _remove(names: Sequence[str]) -> None:
    """Remove namespaces and what runs in them; another runner may do so at the same time."""
    for _ in range(REMOVE_ATTEMPTS):
        left = [name for name in names if (NAMESPACES / name).exists()]
        try:
            await _remove_at_once(left)
        except BackendError as error:
            refusal = error
            await asyncio.sleep(REMOVE_PAUSE_S)
        else:
            return
    raise refusal


async def _remove_at_once(names: Sequence[str]) -> None:
    for name in names:
        # What a dead runner left may be stopped, so that the end of its input does not end it.
        for pid in (await tool("ip", "netns", "pids", name)).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    if names:
        commands = "".join(f"netns delete {name}\n" for name in names)
        # One that does not go must not keep the others: each is tried, and the failure told after.
        await tool("ip", "-force", "-batch", "-", stdin=commands)
