"""Opens sockets and changes interfaces in network namespaces that this process is not in.

Backends and faults use it. It makes and removes no namespace: the backend netns does.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = Path("/proc/thread-self/ns/net")

CLONE_NEWNET = 0x40000000
"""From `<linux/sched.h>`; Python has `os.setns` from 3.12 on."""

SIOCETHTOOL = 0x8946
ETHTOOL_GTXCSUM = 0x16
ETHTOOL_STXCSUM = 0x17
"""From `<linux/ethtool.h>` and `<linux/sockios.h>`."""

IFNAME_BYTES = 16

BROADCAST_MAC = b"\xff" * 6
ETHERTYPE_ARP = 0x0806
ARP_REQUEST_HEAD = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
"""Ethernet and IPv4 with their address lengths, then the operation: a request."""


@contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Move this thread into a network namespace and back; nothing else may be awaited inside."""
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def socket_in(namespace: Path, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket that stays in a network namespace wherever it is used from."""
    with inside(namespace):
        return socket.socket(family, kind, protocol)


def set_checksum_offload(namespace: Path, interface: str, *, on: bool) -> bool:
    """Whether packets leave an interface unfinished, and whether they did so before.

    Veth pairs leave it to the receiver to cut what a program sent into packets and to fill in
    checksums, which it then never does. Without the offload each packet is whole when it leaves.
    """
    with socket_in(namespace, socket.AF_INET, socket.SOCK_DGRAM) as control:
        before = _ethtool(control, interface, ETHTOOL_GTXCSUM, 0)
        _ethtool(control, interface, ETHTOOL_STXCSUM, int(on))
    return bool(before)


def announce_address(namespace: Path, interface: str, address: str) -> None:
    """Broadcast the ARP announcement of RFC 5227, as hosts do when they take an address.

    Without it a neighbour that has just asked in vain for the address waits up to three seconds
    before it asks again.
    """
    with socket_in(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, ETHERTYPE_ARP))
        mac = sender.getsockname()[4]
        ip = socket.inet_aton(address)
        ethernet = BROADCAST_MAC + mac + struct.pack("!H", ETHERTYPE_ARP)
        sender.send(ethernet + ARP_REQUEST_HEAD + mac + ip + bytes(6) + ip)


def _ethtool(control: socket.socket, interface: str, command: int, value: int) -> int:
    request = array.array("B", struct.pack("II", command, value))
    address, _ = request.buffer_info()
    name = interface.encode().ljust(IFNAME_BYTES, b"\0")
    fcntl.ioctl(control, SIOCETHTOOL, struct.pack(f"{IFNAME_BYTES}sP24x", name, address))
    answer: int = struct.unpack("II", request.tobytes())[1]
    return answer


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
