"""Where faults are measured: labs whose peers have links, and probes at both ends of these.

Labs are of namespaces (needs root or a user namespace) or of containers (needs an engine and the
image). The probes are UDP sockets of this process, made inside the peers' namespaces, so both ends
have one clock.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import socket
import statistics
import struct
import subprocess
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, TypeAlias

import pytest
from conftest import FAKE_PEER, run_bare

from lanspread_harness.backends.docker import (
    IMAGE,
    DockerBackend,
    check_engine,
)
from lanspread_harness.backends.netns import NetnsBackend, check_namespaces
from lanspread_harness.errors import EnvironmentLackingError
from lanspread_harness.lab import Lab, LabSettings, open_lab
from lanspread_harness.network_namespaces import socket_in
from lanspread_harness.schema import load_schema
from lanspread_harness.system_programs import lacking_for_disks, lacking_for_links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from lanspread_harness.backends import Attachment, Backend
    from lanspread_harness.client import Peer

SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
"""From `<asm-generic/socket.h>`."""

PORT = 9000
GROUP = "239.255.77.77"
"""A multicast group of the administratively scoped block."""

SETTLE_S = 0.3
"""How long nothing may arrive before the rest is taken for lost; far above any delay here."""

SIGMAS = 5.2
"""Two-sided, a normal variable is beyond this once in five million times."""

Numbers: TypeAlias = list[int]
Delays: TypeAlias = list[float]
InWorld: TypeAlias = "Callable[[Callable[[Lab], Awaitable[None]]], None]"


@pytest.fixture(params=["netns", "docker"])
def in_world(request: pytest.FixtureRequest, tmp_path: Path) -> InWorld:
    """Run a coroutine in a lab whose peers have links."""
    backend, binary = a_backend(request.param, tmp_path)

    async def run(body: Callable[[Lab], Awaitable[None]]) -> None:
        settings = LabSettings(f"lab-faults-{os.getpid()}", 1, tmp_path / "lab", binary)
        async with open_lab(settings, backend, load_schema(binary)) as lab:
            await body(lab)

    return lambda body: run_bare(run(body))


def a_backend(name: str, tmp_path: Path) -> tuple[Backend, Path]:
    try:
        if name == "netns":
            check_namespaces()
            return NetnsBackend(FAKE_PEER, seed=1), FAKE_PEER
        asyncio.run(check_engine())
    except EnvironmentLackingError as error:
        pytest.skip(str(error))
    reason = lacking_for_links() or lacking_for_disks()
    if reason is not None:
        pytest.skip(reason)
    binary = binary_in_image(tmp_path)
    return DockerBackend(IMAGE, seed=1), binary


def binary_in_image(directory: Path) -> Path:
    """The peer that the image holds, as a file; skips where there is none."""
    try:
        asyncio.run(check_engine())
    except EnvironmentLackingError as error:
        pytest.skip(str(error))
    if not subprocess.check_output(["docker", "image", "ls", "--quiet", f"{IMAGE}:latest"]):
        pytest.skip(f"there is no image {IMAGE}; peer_cli.py image makes it")
    path = directory / "peer"
    container = subprocess.check_output(["docker", "create", IMAGE], text=True).strip()
    try:
        subprocess.run(["docker", "cp", f"{container}:/{IMAGE}", path], check=True)
    finally:
        subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
    return path


class Probe:
    """A UDP socket in a peer's namespace, whose packets the kernel stamps as they arrive."""

    def __init__(self, attachment: Attachment) -> None:
        self.address = attachment.address
        self.udp = socket_in(attachment.peer_namespace, socket.AF_INET, socket.SOCK_DGRAM)
        own = socket.inet_aton(self.address)
        # Not allowed in a user namespace, where only what sends little is tested.
        with suppress(PermissionError):
            self.udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 * 1024 * 1024)
        self.udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        self.udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        member = socket.inet_aton(GROUP) + own
        self.udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self.udp.bind(("0.0.0.0", PORT))  # noqa: S104

    def send(self, other: Probe, payload: bytes) -> None:
        self.udp.sendto(payload, (other.address, PORT))

    def received(self) -> list[Arrival]:
        """What arrives until nothing has for a while, in that order."""
        found = []
        while select.select([self.udp], [], [], SETTLE_S)[0]:
            payload, ancillary, _, _ = self.udp.recvmsg(65_536, socket.CMSG_SPACE(16))
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            found.append(Arrival(payload, seconds + nanoseconds / 1e9))
        return found


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet, and when it came by the clock of `time.time`."""

    payload: bytes
    at_s: float


@asynccontextmanager
async def probes(lab: Lab, *peers: Peer) -> AsyncIterator[list[Probe]]:
    made = [Probe(await lab.host.attachment(peer.name)) for peer in peers]
    try:
        for sender, receiver in permutations(made, 2):
            # The way is known before anything is measured.
            sender.send(receiver, b"hello")
        for probe in made:
            assert len(probe.received()) == len(made) - 1
        yield made
    finally:
        for probe in made:
            probe.udp.close()


def send(sender: Probe, receiver: Probe, count: int, size: int) -> list[float]:
    """Send numbered packets in small bursts; when each was sent."""
    sent_s = []
    for number in range(count):
        sent_s.append(time.time())
        sender.send(receiver, number.to_bytes(4, "big").ljust(size, b"."))
        if number % 50 == 49:
            time.sleep(0.002)
    return sent_s


def flood(sender: Probe, receiver: Probe, count: int, size: int = 100) -> tuple[Numbers, Delays]:
    """Send numbered packets: those that arrived, in that order, and how many seconds they took."""
    sent_s = send(sender, receiver, count, size)
    arrived = [(int.from_bytes(a.payload[:4], "big"), a.at_s) for a in receiver.received()]
    return [number for number, _ in arrived], [at_s - sent_s[number] for number, at_s in arrived]


def assert_share(hits: int, of: int, share: float) -> None:
    """Within `SIGMAS` of what a binomial distribution gives."""
    bound = SIGMAS * math.sqrt(of * share * (1 - share))
    assert abs(hits - of * share) <= bound, f"{hits} of {of}, wanted {share} and {bound:.0f} off"


def assert_plain(sender: Probe, receiver: Probe) -> None:
    """Every packet arrives, once, in order, whole and at once."""
    numbers, delays_s = flood(sender, receiver, 200)
    assert numbers == list(range(200))
    assert statistics.median(delays_s) < 0.005


def hearing(made: list[Probe]) -> list[list[int]]:
    """For each probe, which others it hears, alone and in the group alike."""
    for number, sender in enumerate(made):
        sender.udp.sendto(b"%d group" % number, (GROUP, PORT))
        for other in made:
            if other is not sender:
                sender.send(other, b"%d alone" % number)
    heard = []
    for probe in made:
        said = [arrival.payload.split() for arrival in probe.received()]
        alone = sorted(int(who) for who, how in said if how == b"alone")
        assert alone == sorted(int(who) for who, how in said if how == b"group")
        heard.append(alone)
    return heard
