"""Peers as processes: each has an address of its own on loopback, and keeps it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from conftest import FAKE_PEER

from lanspread_harness.backends import process
from lanspread_harness.backends.process import ProcessBackend, loopback_subnet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LAB = "lab-1201-080000-abcd-s22"


def test_each_peer_has_an_address_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with ProcessBackend(FAKE_PEER).open(LAB, tmp_path) as host:
            alpha, bravo = (host.listen_address(name) for name in ("alpha", "bravo"))
            assert alpha.startswith("127.")
            assert alpha != bravo
            assert host.listen_address("alpha") == alpha

    asyncio.run(body())


def test_two_labs_have_other_addresses() -> None:
    labs = [f"lab-{number}" for number in range(20)]
    subnets = {loopback_subnet(lab) for lab in labs}
    assert len(subnets) == len(labs)
    assert loopback_subnet(LAB) == loopback_subnet(LAB)
    assert not {subnet.split(".")[1] for subnet in subnets} & {"0", "1", "255"}


def test_a_socket_beside_a_peer_has_its_address(tmp_path: Path) -> None:
    async def body() -> None:
        async with ProcessBackend(FAKE_PEER).open(LAB, tmp_path) as host:
            address = host.address("alpha")
            with await host.udp_socket("bravo") as ear, await host.udp_socket("alpha") as sender:
                sender.sendto(b"hello", ear.getsockname())
                content, (source, _) = ear.recvfrom(16)
        assert (content, source) == (b"hello", address)

    asyncio.run(body())


def test_all_share_one_address_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address of no interface, as all of 127.0.0.0/8 but one are on macOS.
    monkeypatch.setattr(process, "loopback_subnet", lambda _: "198.18.0")

    async def body() -> None:
        async with ProcessBackend(FAKE_PEER).open(LAB, tmp_path) as host:
            assert host.listen_address("alpha") == host.listen_address("bravo") == "127.0.0.1:0"
            with await host.udp_socket("alpha") as sock:
                assert sock.family == socket.AF_INET

    asyncio.run(body())
