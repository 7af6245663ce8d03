"""Faults, measured: what the harness breaks is broken as much as it says, and whole again after.

On namespaces (needs root or a user namespace) and on containers (needs an engine and the image).
The probes are UDP sockets of this process, made inside the peers' namespaces, so both ends have
one clock.

Chances are bounded so that a right implementation fails a test less than once in a million runs.
"""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from conftest import FAKE_PEER, first_leaf

from lanspread_harness.backends import Need
from lanspread_harness.backends.docker import (
    IMAGE,
    RUNNER_LABEL,
    DockerBackend,
    check_engine,
    image_binary_digest,
)
from lanspread_harness.backends.netns import NetnsBackend, check_namespaces, namespaces
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.backends.tools import lacking_for_disks, lacking_for_links
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.faults import Link
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.links import WIRE
from lanspread_harness.faults.namespaces import socket_in
from lanspread_harness.fixtures import MIB
from lanspread_harness.identity import runner_identity
from lanspread_harness.lab import Lab, LabSettings, open_lab
from lanspread_harness.leftovers import VARIABLE
from lanspread_harness.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lanspread_harness.backends import Attachment, Backend, PeerProcess
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

    def call(body: Callable[[Lab], Awaitable[None]]) -> None:
        try:
            asyncio.run(run(body))
        except ExceptionGroup as group:
            raise first_leaf(group) from group

    return call


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
    if asyncio.run(image_binary_digest()) is None:
        pytest.skip(f"there is no image {IMAGE}; peer_cli.py build --image makes it")
    binary = tmp_path / "in-image"
    binary.write_text(f'#!/bin/sh\nexec docker run --rm {IMAGE} "$@"\n')
    binary.chmod(0o755)
    return DockerBackend(seed=1), binary


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


def test_delay_and_jitter(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        async with probes(lab, alpha, bravo) as (a, b):
            async with lab.shape(bravo, Link(delay_ms=80)):
                for way in ((a, b), (b, a)):
                    numbers, delays_s = flood(*way, 200)
                    assert numbers == list(range(200)), "an even delay keeps the order"
                    assert statistics.median(delays_s) == pytest.approx(0.08, rel=0.15)
            async with lab.shape(bravo, inbound=Link(delay_ms=100, jitter_ms=30)):
                _, delays_s = flood(a, b, 1000)
                assert statistics.median(delays_s) == pytest.approx(0.1, rel=0.15)
                first, _, last = statistics.quantiles(delays_s, n=4)
                assert last - first == pytest.approx(0.03, rel=0.25), "half are within 30 ms"
                _, back_s = flood(b, a, 100)
                assert statistics.median(back_s) < 0.005, "one direction was asked for"
            assert_plain(a, b)

    in_world(body)


def test_loss_duplication_and_order(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        count = 4000
        async with probes(lab, alpha, bravo) as (a, b):
            async with lab.shape(bravo, Link(loss=0.05)):
                for way in ((a, b), (b, a)):
                    numbers, _ = flood(*way, count)
                    assert_share(count - len(numbers), count, 0.05)
            async with lab.shape(bravo, inbound=Link(duplicate=0.1)):
                numbers, _ = flood(a, b, count)
                assert set(numbers) == set(range(count))
                assert_share(len(numbers) - count, count, 0.1)
            async with lab.shape(bravo, inbound=Link(delay_ms=50, reorder=0.2)):
                numbers, delays_s = flood(a, b, count)
                assert sorted(numbers) == list(range(count))
                assert_share(sum(delay_s < 0.025 for delay_s in delays_s), count, 0.2)
                overtaken = sum(later < earlier for earlier, later in pairwise(numbers))
                assert overtaken > 0
            assert_plain(a, b)

    in_world(body)


def test_corruption_reaches_the_receiver_as_one_wrong_bit(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        count, payload = 2000, bytes(200)
        async with probes(lab, alpha, bravo) as (a, b):
            async with lab.shape(bravo, inbound=Link(corrupt=0.1)):
                for _ in range(count):
                    a.send(b, payload)
                arrivals = b.received()
            assert len(arrivals) == count
            wrong = [sum(byte.bit_count() for byte in arrival.payload) for arrival in arrivals]
            assert set(wrong) == {0, 1}
            assert_share(sum(wrong), count, 0.1)

    in_world(body)


def test_rate(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        async with probes(lab, alpha, bravo) as (a, b):
            async with lab.shape(bravo, inbound=Link(rate_mbit=20, queue_ms=5000)):
                await asyncio.to_thread(send, a, b, 1500, 1400)
                arrivals = b.received()
            assert len(arrivals) == 1500
            took_s = arrivals[-1].at_s - arrivals[0].at_s
            # Each has 42 bytes of headers.
            assert 1499 * 1442 * 8 / took_s == pytest.approx(20e6, rel=0.15)

    in_world(body)


def test_rate_of_what_the_kernel_would_send_in_large_pieces(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        async with lab.shape(bravo, Link(rate_mbit=20, queue_ms=100)):
            bits_per_s = await asyncio.to_thread(
                tcp_rate,
                await lab.host.attachment(alpha.name),
                await lab.host.attachment(bravo.name),
                4 * MIB,
            )
        # Of 1514 bytes of a packet 1448 are payload.
        assert bits_per_s == pytest.approx(20e6 * 1448 / 1514, rel=0.15)

    in_world(body)


def tcp_rate(sender: Attachment, receiver: Attachment, size: int) -> float:
    """Bits a second of one TCP connection, after its first eighth."""
    with (
        socket_in(receiver.peer_namespace, socket.AF_INET, socket.SOCK_STREAM) as listener,
        socket_in(sender.peer_namespace, socket.AF_INET, socket.SOCK_STREAM) as out,
    ):
        listener.bind((receiver.address, PORT))
        listener.listen()
        out.connect((receiver.address, PORT))
        incoming, _ = listener.accept()
        with incoming, ThreadPoolExecutor(1) as pool:
            sending = pool.submit(out.sendall, bytes(size))
            got, first_s, first = 0, 0.0, 0
            while got < size:
                got += len(incoming.recv(MIB))
                if not first_s and got > size / 8:
                    first_s, first = time.monotonic(), got
            last_s = time.monotonic()
            sending.result()
    return (got - first) * 8 / (last_s - first_s)


def test_a_partition_is_silent_for_both_and_for_nobody_else(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        peers = [await lab.peer(name) for name in ("alpha", "bravo", "charlie")]
        async with probes(lab, *peers) as made:
            async with lab.partition(peers[0], peers[1]):
                heard = hearing(made)
            assert heard == [[2], [2], [0, 1]]
            assert hearing(made) == [[1, 2], [0, 2], [0, 1]], "it is healed"

    in_world(body)


def test_a_partition_can_be_one_way(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        peers = [await lab.peer(name) for name in ("alpha", "bravo", "charlie")]
        async with probes(lab, *peers) as made:
            async with lab.partition(peers[0], peers[1], one_way=True):
                heard = hearing(made)
            assert heard == [[1, 2], [2], [0, 1]], "the second does not hear the first"

    in_world(body)


def test_isolation_is_from_all_also_from_those_to_come(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        peers = [await lab.peer(name) for name in ("alpha", "bravo")]
        probe = Probe(await lab.host.attachment("alpha"))
        async with lab.isolate(peers[0]):
            peers.append(await lab.peer("charlie"))
            others = [Probe(await lab.host.attachment(name)) for name in ("bravo", "charlie")]
            assert hearing([probe, *others]) == [[], [2], [1]]
            async with lab.partition(peers[0], peers[2]):
                pass
            assert hearing([probe, *others]) == [[], [2], [1]], "cuts lie upon each other"
        assert hearing([probe, *others]) == [[1, 2], [0, 2], [0, 1]]
        for made in (probe, *others):
            made.udp.close()

    in_world(body)


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


def test_a_restarted_peer_is_as_broken_as_before(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        async with lab.partition(alpha, bravo), lab.shape(alpha, Link(delay_ms=60)):
            await alpha.restart()
            a, b = [Probe(await lab.host.attachment(peer.name)) for peer in (alpha, bravo)]
            assert hearing([a, b]) == [[], []]
        async with lab.shape(alpha, Link(delay_ms=60)):
            await bravo.restart()
            b.udp.close()
            b = Probe(await lab.host.attachment("bravo"))
            flood(a, b, 1)
            numbers, delays_s = flood(a, b, 100)
            assert numbers == list(range(100))
            assert statistics.median(delays_s) == pytest.approx(0.06, rel=0.15)
        a.udp.close()
        b.udp.close()

    in_world(body)


def test_a_wire_bears_the_mark_by_which_a_dead_runner_s_processes_are_found(
    in_world: InWorld,
) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        async with lab.shape(alpha, Link(delay_ms=1)):
            (environment,) = [
                (process / "environ").read_bytes().split(b"\0")
                for process in Path("/proc").glob("[0-9]*")
                if is_own_wire(process)
            ]
        assert f"{VARIABLE}={runner_identity()}".encode() in environment

    in_world(body)


def is_own_wire(process: Path) -> bool:
    """Whether a directory of `/proc` is that of a wire that this process started."""
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and WIRE.encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("how", ["raises", "is cancelled"])
def test_all_is_undone_however_a_scenario_ends(in_world: InWorld, how: str) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo", disk_mib=16)
        file = bravo.games_dir / "file"
        file.write_bytes(b"content")
        file.chmod(0o644)
        broken = asyncio.Event()

        async def breaking() -> None:
            async with (
                lab.partition(alpha, bravo),
                lab.shape(bravo, Link(loss=1)),
                lab.disk_full(bravo),
                lab.unreadable(bravo, file),
                lab.bit_flip(bravo, file, offset=2),
                lab.stopped(alpha),
            ):
                broken.set()
                if how == "raises":
                    raise ValueError("a mistake in the scenario")
                await asyncio.Event().wait()

        task = asyncio.create_task(breaking())
        # A fault that cannot begin must not leave the test waiting.
        waiting = asyncio.create_task(broken.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if how == "is cancelled":
            task.cancel()
        with pytest.raises(ValueError if how == "raises" else asyncio.CancelledError):
            await task
        async with probes(lab, alpha, bravo) as (a, b):
            assert_plain(a, b)
        (bravo.games_dir / "large").write_bytes(bytes(MIB))
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"content", 0o644)
        assert state_of(alpha.session.process) != "T"

    in_world(body)


def state_of(process: PeerProcess) -> str:
    """One letter for what the kernel does with it; of a container, with its attachment."""
    pid = process.process.pid  # type: ignore[attr-defined]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0]


def test_a_full_disk_refuses_and_has_room_again(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha", disk_mib=16)
        inside = alpha.games_dir / "data"
        async with lab.disk_full(alpha, free_bytes=MIB):
            inside.write_bytes(bytes(MIB // 2))
            with pytest.raises(OSError, match="No space left") as caught:
                inside.write_bytes(bytes(2 * MIB))
            assert caught.value.errno == errno.ENOSPC
        inside.write_bytes(bytes(4 * MIB))

    in_world(body)


def test_a_disk_leaves_its_files_behind_and_no_mount(in_world: InWorld, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha", disk_mib=16)
        (alpha.games_dir / "data").write_bytes(b"kept")

    in_world(body)
    home = tmp_path / "lab/peers/alpha"
    assert (home / "games/data").read_bytes() == b"kept"
    assert not os.path.ismount(home)
    assert sorted(path.name for path in home.parent.iterdir()) == ["alpha"]


def test_the_history_tells_of_begin_and_end(in_world: InWorld, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        async with lab.partition(alpha, bravo, one_way=True), lab.shape(bravo, Link(loss=1)):
            a, b = [Probe(await lab.host.attachment(peer.name)) for peer in (alpha, bravo)]
            b.send(a, b"lost")
            await asyncio.sleep(SETTLE_S)
        async with lab.stopped(alpha):
            pass
        a.udp.close()
        b.udp.close()
        await bravo.kill()

    in_world(body)
    lines = (tmp_path / "lab/history.jsonl").read_text().splitlines()
    faults = [e for e in map(json.loads, lines) if e["kind"] == "fault"]
    told = [(f["fault"], f["id"], f["phase"], f.get("peer"), f.get("peers")) for f in faults]
    assert told == [
        ("partition", 1, "begin", None, ["alpha", "bravo"]),
        ("shape", 2, "begin", "bravo", None),
        ("shape", 2, "end", "bravo", None),
        ("partition", 1, "end", None, ["alpha", "bravo"]),
        ("stop", 3, "begin", "alpha", None),
        ("stop", 3, "end", "alpha", None),
        ("kill", 4, "instant", "bravo", None),
        ("close-stdin", 5, "instant", "alpha", None),
    ]
    assert faults[0]["detail"] == {"one_way": True}
    assert faults[1]["detail"] == {"outbound": {"loss": 1}, "inbound": {"loss": 1}}
    assert faults[2]["detail"]["outbound"]["lost"] >= 1
    assert faults[6]["run"] == 1


def test_processes_on_loopback_have_no_links(tmp_path: Path) -> None:
    async def run() -> None:
        settings = LabSettings("lab-faults", 1, tmp_path, FAKE_PEER)
        backend = ProcessBackend(FAKE_PEER)
        assert "netns" in (backend.unsupported(frozenset({Need.LINKS})) or "")
        async with open_lab(settings, backend, load_schema(FAKE_PEER)) as lab:
            alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
            async with lab.partition(alpha, bravo):
                pass

    with pytest.RaisesGroup(pytest.RaisesExc(BackendError, match="a link of its own")):
        asyncio.run(run())


RUNNER_THAT_DIES = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import test_faults
from lanspread_harness.faults import Link
from lanspread_harness.identity import runner_identity
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.schema import load_schema

async def run(name, directory):
    backend, binary = await asyncio.to_thread(test_faults.a_backend, name, directory)
    settings = LabSettings("lab-dying", 1, directory / "lab", binary)
    async with open_lab(settings, backend, load_schema(binary)) as lab:
        alpha = await lab.peer("alpha", disk_mib=16)
        async with lab.shape(alpha, Link(delay_ms=1)), lab.stopped(alpha):
            print(runner_identity(), flush=True)
            await asyncio.Event().wait()

asyncio.run(run(sys.argv[3], Path(sys.argv[4])))
"""


@pytest.mark.parametrize("name", ["netns", "docker"])
def test_what_a_killed_runner_broke_is_swept(name: str, tmp_path: Path) -> None:
    backend, _ = a_backend(name, tmp_path)
    tests = Path(__file__).parent
    command = [sys.executable, "-c", RUNNER_THAT_DIES, str(tests), str(tests.parent), name]
    with subprocess.Popen([*command, str(tmp_path)], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        identity = runner.stdout.readline().strip()
        assert identity
        assert leftovers(identity)
        runner.kill()

    async def sweep() -> None:
        await backend.sweep()
        await sweep_disks()

    asyncio.run(sweep())
    assert leftovers(identity) == []


def leftovers(identity: str) -> list[str]:
    """Whatever of the kernel's or the engine's bears a runner's name."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    links = subprocess.run(["ip", "link", "show"], capture_output=True, text=True, check=True)
    found = [line for line in mounts + links.stdout.splitlines() if identity in line]
    found += [namespace for namespace in namespaces() if identity in namespace]
    if shutil.which("docker") is not None:
        label = f"label={RUNNER_LABEL}={identity}"
        listing = ["docker", "ps", "--all", "--quiet", "--filter", label]
        found += subprocess.run(
            listing, capture_output=True, text=True, check=False
        ).stdout.splitlines()
    return found
