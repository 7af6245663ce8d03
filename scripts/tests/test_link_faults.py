"""Bad links and cuts, measured: they are as bad as the harness says, and whole again after.

Chances are bounded so that a right implementation fails a test less than once in a million runs.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty_world import (
    PORT,
    InWorld,
    Probe,
    assert_plain,
    assert_share,
    flood,
    hearing,
    probes,
    send,
)

from lanspread_harness.faults import Link
from lanspread_harness.faults.links import SHAPER_PROGRAM
from lanspread_harness.fixtures import MIB
from lanspread_harness.identity import runner_identity
from lanspread_harness.network_namespaces import socket_in
from lanspread_harness.orphan_cleanup import OWNER_VARIABLE

if TYPE_CHECKING:
    from lanspread_harness.backends import Attachment
    from lanspread_harness.lab import Lab

pytest_plugins = ("faulty_world",)


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
        assert f"{OWNER_VARIABLE}={runner_identity()}".encode() in environment

    in_world(body)


def is_own_wire(process: Path) -> bool:
    """Whether a directory of `/proc` is that of a link shaper that this process started."""
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return (
            parent == os.getpid() and SHAPER_PROGRAM.encode() in (process / "cmdline").read_bytes()
        )
    except OSError:
        return False
