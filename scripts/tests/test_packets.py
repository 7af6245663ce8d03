"""Packets of an interface: whole, in order, and kept while nobody looks. Needs namespaces."""

from __future__ import annotations

import asyncio
import secrets
import select
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.backends.netns import NAMESPACES, check_namespaces
from lanspread_harness.errors import EnvironmentLackingError
from lanspread_harness.faults.packets import FRAME_BYTES, FRAMES, PacketSocket
from lanspread_harness.identity import owned_name
from lanspread_harness.network_namespaces import inside
from lanspread_harness.system_programs import tool

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = b"\xff" * 6 + b"\x02" + b"\0" * 5 + b"\x88\xb5"
"""To all, from somebody, of the type for experiments."""

NOTHING_MORE_S = 0.2


@pytest.fixture
def ends() -> Iterator[tuple[PacketSocket, PacketSocket]]:
    """Both ends of a veth pair."""
    try:
        check_namespaces()
    except EnvironmentLackingError as error:
        pytest.skip(str(error))
    name = owned_name("packets", secrets.token_hex(4))
    commands = [
        "link add one mtu 9000 type veth peer name other mtu 9000",
        *(f"link set {end} addrgenmode none" for end in ("one", "other")),
        *(f"link set {end} up" for end in ("one", "other")),
    ]
    asyncio.run(tool("ip", "netns", "add", name))
    try:
        asyncio.run(tool("ip", "-n", name, "-batch", "-", stdin="\n".join(commands) + "\n"))
        with inside(NAMESPACES / name):
            made = PacketSocket("one"), PacketSocket("other")
        yield made
    finally:
        asyncio.run(tool("ip", "netns", "delete", name))


def packet(number: int) -> bytes:
    return HEADER + number.to_bytes(4, "big").ljust(100, b".")


def taken(end: PacketSocket) -> list[bytes]:
    """All that comes, until nothing has for a while."""
    found: list[bytes] = []
    while select.select([end], [], [], NOTHING_MORE_S)[0]:
        found += end.take(64)
    return found


def test_more_than_a_round_of_the_ring(ends: tuple[PacketSocket, PacketSocket]) -> None:
    one, other = ends
    sent, came = [packet(number) for number in range(2 * FRAMES + 7)], list[bytes]()
    for number, content in enumerate(sent):
        one.send(content)
        if number % 1000 == 999:
            came += taken(other)
    assert came + taken(other) == sent
    assert (other.overrun(), taken(one)) == (0, [])


def test_what_nobody_has_room_for_is_counted(ends: tuple[PacketSocket, PacketSocket]) -> None:
    one, other = ends
    for number in range(FRAMES + 100):
        one.send(packet(number))
    assert taken(other) == [packet(number) for number in range(FRAMES)]
    assert (other.overrun(), other.overrun()) == (100, 0)
    one.send(packet(1))
    assert taken(other) == [packet(1)]


def test_a_packet_too_large_for_a_frame_comes_empty(
    ends: tuple[PacketSocket, PacketSocket],
) -> None:
    one, other = ends
    for size in (1500, FRAME_BYTES, 60):
        one.send(HEADER + bytes(size))
    assert [len(frame) for frame in taken(other)] == [1514, 0, 74]


def test_an_interface_that_goes_down_wakes_once(ends: tuple[PacketSocket, PacketSocket]) -> None:
    one, other = ends
    namespace = next(path for path in NAMESPACES.iterdir() if owned_name("packets") in path.name)
    asyncio.run(tool("ip", "-n", namespace.name, "link", "set", "one", "down"))
    assert list(other.take(64)) == []
    assert select.select([other], [], [], NOTHING_MORE_S)[0] == []
    with pytest.raises(OSError, match="down"):
        one.send(packet(1))
