"""Garbage and half-open connections on the QUIC port while a download runs: it finishes."""

import asyncio
import random
import socket
from contextlib import ExitStack

from lanspread_harness import (
    MIB,
    Lab,
    Meta,
    Peer,
    Sparse,
    expect,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(timeout_s=90, expected_s=14, cores=0.4)

UPLOAD_LIMIT = "12MiB"
"""Of the source: the game takes eight seconds, in which all of the garbage comes, also where other
scenarios have the runner's time."""

GARBAGE = 4000
LARGEST_DATAGRAM = 1472

HALF_OPEN = 400
"""Each from a port of its own, as from as many strangers; far more than a party has machines."""

QUIC_LONG_HEADER = 0xC0
QUIC_VERSIONS = (0, 1, 0x6B3343CF, 0xFFFFFFFF)
"""Of a version negotiation, of RFC 9000 and RFC 9369, and one that does not exist."""


async def scenario(lab: Lab) -> None:
    game = lab.game("quake", {"quake.eti": Sparse(96 * MIB)})
    alpha = await lab.peer("alpha", games=[game], upload_limit=UPLOAD_LIMIT)
    bravo = await lab.peer("bravo")
    mallory = await lab.peer("mallory")
    await bravo.connect(alpha)
    opening = await first_words(lab, mallory, alpha)

    with ExitStack() as sockets:
        stranger = sockets.enter_context(await lab.udp_socket(mallory))
        async with asyncio.TaskGroup() as tasks:
            download = tasks.create_task(bravo.download(game, wait=True))
            await bravo.downloaded(game, 0.02)
            expect(not download.done(), "the download runs")
            for number in range(HALF_OPEN):
                caller = sockets.enter_context(await lab.udp_socket(mallory))
                caller.sendto(opening, endpoint(alpha if number % 2 else bravo))
            await asyncio.to_thread(shout, stranger, [endpoint(alpha), endpoint(bravo)])
            expect(not download.done(), "all of it comes while the download runs")
        await expect_same_game(game, alpha, bravo)

        for victim in (alpha, bravo):
            await mallory.connect(victim)
            expect_equal((await victim.status()).peer_count, 2, "strangers are no peers")
    for peer in (alpha, bravo):
        expect_equal(peer.events("peer-lost"), [], "nobody was lost over it")


async def first_words(lab: Lab, caller: Peer, other: Peer) -> bytes:
    """The datagram that a peer opens a connection with, sent to us in place of the other one."""
    loop = asyncio.get_running_loop()
    with await lab.udp_socket(caller) as probe, await lab.udp_socket(caller) as ear:
        # A connected socket has the address that peers see of this place.
        probe.connect(endpoint(other))
        if ear.getsockname()[1] == 0:
            ear.bind((probe.getsockname()[0], 0))
        ear.setblocking(False)
        here, port = ear.getsockname()

        async def call() -> None:
            with expect_error("peer-unreachable"):
                await caller.connect(f"{here}:{port}")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call())
            words = await loop.sock_recv(ear, 65_536)
    expect(
        words[0] & QUIC_LONG_HEADER == QUIC_LONG_HEADER, "it opens with a long header", words[:9]
    )
    return words


def shout(stranger: socket.socket, endpoints: list[tuple[str, int]]) -> None:
    """Send garbage to each in turn."""
    rng = random.Random(1)
    for number in range(GARBAGE):
        stranger.sendto(garbage(rng), endpoints[number % len(endpoints)])


def garbage(rng: random.Random) -> bytes:
    """Noise, or noise behind the beginning of a QUIC packet."""
    noise = rng.randbytes(rng.randrange(1, LARGEST_DATAGRAM))
    if rng.random() < 0.5:
        return noise
    version = rng.choice(QUIC_VERSIONS).to_bytes(4, "big")
    lengths = bytes([rng.choice((0, 8, 20, 21, 255))])
    return bytes([QUIC_LONG_HEADER | noise[0]]) + version + lengths + noise


def endpoint(peer: Peer) -> tuple[str, int]:
    """Where a peer listens."""
    host, _, port = peer.addr.rpartition(":")
    return host, int(port)
