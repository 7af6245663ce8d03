"""Another address and a taken port: they are as the harness says, and as before after."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from faulty_world import PORT, InWorld

from lanspread_harness.network_namespaces import socket_in
from lanspread_harness.system_programs import tool

if TYPE_CHECKING:
    from lanspread_harness.backends import Attachment
    from lanspread_harness.lab import Lab

pytest_plugins = ("faulty_world",)


async def addresses(attachment: Attachment) -> str:
    """What the peer's interface has."""
    namespace = f"--net={attachment.peer_namespace}"
    shown = ("address", "show", "dev", attachment.interface)
    return await tool("nsenter", namespace, "ip", "-brief", "-4", *shown)


async def routes(attachment: Attachment) -> list[str]:
    """The ways out of the peer's interface, but for the one of its own address."""
    namespace = f"--net={attachment.peer_namespace}"
    shown = await tool("nsenter", namespace, "ip", "route", "show", "dev", attachment.interface)
    return sorted(line for line in shown.splitlines() if "proto kernel" not in line)


def reaches(sender: Attachment, receiver: Attachment, address: str) -> bool:
    """Whether a datagram to an address arrives."""
    with (
        socket_in(receiver.peer_namespace, socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket_in(sender.peer_namespace, socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        ear.bind(("", PORT))
        ear.settimeout(0.5)
        mouth.sendto(b"hello", (address, PORT))
        try:
            return ear.recv(16) == b"hello"
        except TimeoutError:
            return False


def test_a_peer_is_at_another_address_and_then_at_its_own(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        await lab.peer("alpha")
        bravo = await lab.peer("bravo")
        near, far = [await lab.host.attachment(name) for name in ("alpha", "bravo")]
        before = await routes(far)
        async with lab.readdress(bravo) as address:
            assert address != far.address
            assert address in await addresses(far)
            assert far.address not in (await addresses(far)).replace(address, "")
            assert await routes(far) == before, "all but the address is as before"
            assert reaches(near, far, address)
            assert not reaches(near, far, far.address)
        assert far.address in await addresses(far)
        assert address not in await addresses(far)
        assert await routes(far) == before
        assert reaches(near, far, far.address)

    in_world(body)


def test_a_taken_port_cannot_be_shared_until_it_is_free(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        if lab.host.uses_arp():
            pytest.skip("a container's network ends with the container")
        alpha = await lab.peer("alpha")
        attachment = await lab.host.attachment("alpha")

        def bind() -> None:
            with socket_in(attachment.peer_namespace, socket.AF_INET, socket.SOCK_DGRAM) as sharing:
                sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sharing.bind(("", PORT))

        bind()
        async with lab.port_taken(alpha, PORT):
            with pytest.raises(OSError, match="in use"):
                bind()
        bind()

    in_world(body)
