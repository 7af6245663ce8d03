"""A program that forwards all packets between a peer and its switch, and impairs them on the way.

`links` starts it with a `ShaperSetup` in JSON as its argument. It takes the place of the switch's
port: what the peer sends comes in there and goes on to the bridge by a second veth pair, and the
other way round, through one `Impairment` each. It prints `READY`, then reads lines of `LinkConfig`
in JSON, each of which replaces the one before, and prints `READY` for each. When its input ends it
prints its `PacketCounts` and ends; packets that are still on the way are lost.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import sys
import time
from pathlib import Path
from typing import Any

from lanspread_harness.faults.impairment import Impairment, Link
from lanspread_harness.faults.link_config import (
    INBOUND,
    OUTBOUND,
    READY,
    LinkConfig,
    PacketCounts,
    ShaperSetup,
)
from lanspread_harness.faults.packets import PacketSocket
from lanspread_harness.network_namespaces import set_checksum_offload

BATCH = 64
"""Packets taken in from one side before those that are due are sent."""

ETHERNET_BYTES = 14
ETHERTYPE_IPV4 = b"\x08\x00"
PROTOCOL_UDP = 17
UDP_HEADER_BYTES = 8


class Direction:
    """Packets that come in at one interface and leave at another."""

    def __init__(self, source: PacketSocket, target: PacketSocket, rng: random.Random) -> None:
        self.source = source
        self.impairment = Impairment(Link(), rng)
        self.failed = 0
        self.overrun = 0
        self._target = target
        self._random = rng
        self._held: list[tuple[float, int, bytes]] = []
        self._order = 0

    def change(self, link: Link) -> None:
        """Treat the packets to come in another way; counters go on."""
        counters = self.impairment.counters
        self.impairment = Impairment(link, self._random)
        self.impairment.counters = counters

    def take(self) -> None:
        """Take in packets that came."""
        for frame in self.source.take(BATCH):
            if not frame:
                # Too large, which it cannot be while its sender has no offload.
                self.failed += 1
                continue
            now_s = time.monotonic()
            for departure in self.impairment.admit(len(frame), now_s, len(self._held)):
                sent = corrupt(frame, self._random) if departure.corrupted else frame
                self._order += 1
                heapq.heappush(self._held, (departure.at_s, self._order, sent))

    def release(self) -> None:
        """Send the packets whose time has come."""
        now_s = time.monotonic()
        while self._held and self._held[0][0] <= now_s:
            try:
                self._target.send(heapq.heappop(self._held)[2])
            except OSError:
                self.failed += 1

    def next_s(self) -> float | None:
        """When the next packet is due."""
        return self._held[0][0] if self._held else None

    def report(self) -> dict[str, int]:
        """What became of the packets."""
        self.overrun += self.source.overrun()
        trouble = {"send_failed": self.failed, "overrun": self.overrun}
        return {
            **self.impairment.counters.as_detail(),
            **{name: count for name, count in trouble.items() if count},
        }


def corrupt(frame: bytes, rng: random.Random) -> bytes:
    """Turn over one bit of what a packet carries.

    Of UDP over IPv4 it is one of the payload, and the checksum says "none": what the kernel would
    have dropped quietly reaches the peer. Of all else it is any, and checksums do what they can.
    """
    changed = bytearray(frame)
    begin = 0
    if frame[12:14] == ETHERTYPE_IPV4 and frame[23] == PROTOCOL_UDP:
        udp = ETHERNET_BYTES + (frame[14] & 0x0F) * 4
        if len(frame) > udp + UDP_HEADER_BYTES:
            changed[udp + 6 : udp + 8] = b"\0\0"
            begin = udp + UDP_HEADER_BYTES
    changed[rng.randrange(begin, len(frame))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def run_shaper(setup: ShaperSetup) -> PacketCounts:
    """Forward packets until the input ends; returns what became of them."""
    peer = Path(setup.peer_namespace)
    here = Path("/proc/self/ns/net")
    # Packets are whole as soon as they leave the peer, and as soon as they leave the bridge.
    had_offload = set_checksum_offload(peer, setup.peer_interface, on=False)
    set_checksum_offload(here, setup.far, on=False)
    port, near = PacketSocket(setup.port), PacketSocket(setup.near)
    directions = {
        OUTBOUND: Direction(port, near, random.Random(f"{setup.seed} {OUTBOUND}")),
        INBOUND: Direction(near, port, random.Random(f"{setup.seed} {INBOUND}")),
    }
    _raise_priority()
    try:
        print(READY, flush=True)
        _forward(directions)
        return {name: direction.report() for name, direction in directions.items()}
    finally:
        if had_offload:
            _restore_offload(peer, setup.peer_interface)


def _forward(directions: dict[str, Direction]) -> None:
    by_descriptor = {direction.source.fileno(): direction for direction in directions.values()}
    control = sys.stdin.fileno()
    os.set_blocking(control, False)
    pending = b""
    with select.epoll() as poller:
        for descriptor in (control, *by_descriptor):
            poller.register(descriptor, select.EPOLLIN)
        while True:
            for descriptor, _ in poller.poll(_timeout_s(directions)):
                if descriptor != control:
                    by_descriptor[descriptor].take()
                    continue
                received = os.read(control, 65_536)
                if not received:
                    return
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    links = LinkConfig.from_json(line.decode())
                    directions[OUTBOUND].change(links.outbound)
                    directions[INBOUND].change(links.inbound)
                    print(READY, flush=True)
            for direction in directions.values():
                direction.release()


def _raise_priority() -> None:
    """Run before all that is not as urgent: a busy machine must not add to the delay."""
    try:
        os.sched_setscheduler(
            0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
        )
    except OSError:
        # Not allowed here. It works all the same, with delays as exact as the machine is idle.
        return


def _timeout_s(directions: dict[str, Direction]) -> float:
    due = [at_s for direction in directions.values() if (at_s := direction.next_s()) is not None]
    return max(0.0, min(due) - time.monotonic()) if due else -1


def _restore_offload(peer: Path, interface: str) -> None:
    try:
        set_checksum_offload(peer, interface, on=True)
    except OSError:
        # The peer is gone, and its namespace with it.
        return


def main() -> None:
    """Run as a program."""
    setup: dict[str, Any] = json.loads(sys.argv[1])
    try:
        counts = run_shaper(ShaperSetup(**setup))
    except OSError as error:
        sys.exit(f"link shaper: {error}")
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
