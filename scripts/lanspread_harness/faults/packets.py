"""Whole packets of an interface, taken in through memory that is shared with the kernel.

A socket's own buffer can be made large enough only by the machine's root. A ring of frames
(`Documentation/networking/packet_mmap.rst` of the kernel) is as large as it is asked to be, also in
a user namespace.
"""

from __future__ import annotations

import mmap
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_VERSION = 10
PACKET_IGNORE_OUTGOING = 23
TPACKET_V2 = 1
"""From `<linux/if_ether.h>` and `<linux/if_packet.h>`."""

HEADER = struct.Struct("=IIIH")
"""The begin of `struct tpacket2_hdr`: whose the frame is, length, length that is there, offset."""

OF_KERNEL = 0
"""A frame that the kernel may fill; any other is the program's."""

FRAME_BYTES = 2048
"""Room for a packet of the usual 1514 bytes and what the kernel says of it."""

FRAMES = 8192
"""For what comes while this program does not run: 0.16 s of all that a link shaper can carry."""

BLOCK_BYTES = 256 * 1024


class PacketSocket:
    """Sends packets at an interface as they are, and takes in those that come there."""

    def __init__(self, interface: str) -> None:
        # Bound before it listens to anything, so that it never has a packet of another interface.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        size = FRAMES * FRAME_BYTES
        ring = struct.pack("=IIII", BLOCK_BYTES, size // BLOCK_BYTES, FRAME_BYTES, FRAMES)
        self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, ring)
        self._ring = mmap.mmap(self._socket.fileno(), size)
        self._next = 0
        self._socket.setblocking(False)
        self._socket.bind((interface, ETH_P_ALL))

    def fileno(self) -> int:
        """What to wait on for packets to come."""
        return self._socket.fileno()

    def take(self, most: int) -> Iterator[bytes]:
        """Packets that came, in order; one that does not fit into a frame comes empty."""
        for taken in range(most):
            start = self._next * FRAME_BYTES
            status, length, there, offset = HEADER.unpack_from(self._ring, start)
            if status == OF_KERNEL:
                if taken == 0:
                    # It was an error that woke the program, such as an interface that goes down.
                    # Reading it makes room for the next wait.
                    self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                return
            packet = self._ring[start + offset : start + offset + there]
            self._ring[start : start + 4] = bytes(4)
            self._next = (self._next + 1) % FRAMES
            yield packet if there == length else b""

    def send(self, packet: bytes) -> None:
        """Send a packet; raises `OSError` where the interface does not take it."""
        self._socket.send(packet)

    def overrun(self) -> int:
        """Packets that came faster than they were taken in; asking starts the count again."""
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int.from_bytes(statistics[4:8], sys.byteorder)
