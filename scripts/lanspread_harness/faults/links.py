"""Breaking the links of a lab: cuts in the receivers' namespaces, wires at the peers' ports.

What is broken belongs to the peer, not to its process: a peer that starts again while a fault is
on has it again. In a container, which gets a new cable with each start, that is so from `ready` on.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.backends.tools import find_program, tool
from lanspread_harness.errors import BackendError
from lanspread_harness.faults.addresses import Readdressed
from lanspread_harness.faults.cable import READY, Counts, Links, Setup
from lanspread_harness.faults.cuts import Cut, rules, unheard
from lanspread_harness.identity import owned_name
from lanspread_harness.leftovers import marked_environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from lanspread_harness.backends import Attachment, LabHost

PACKAGES = Path(__file__).parents[2]
"""Where this package lies; the wire must find it too, however the runner did."""

WIRE = """
import json, sys
packages, *others = json.loads(sys.argv.pop(1))
sys.path.insert(0, packages)
sys.path.extend(others)
from lanspread_harness.faults.wire import main
main()
"""
"""A wire's program. Python runs it isolated, so neither the working directory nor the environment
decides which modules there are; where the runner finds its packages comes last."""

WIRE_TIMEOUT_S = 20.0
"""A wire is ready in 0.2 s, and ends at once when told."""


@dataclass(slots=True)
class Wire:
    """A running wire and where it is."""

    attachment: Attachment
    near: str
    process: asyncio.subprocess.Process


@dataclass(slots=True)
class Shape:
    """What a peer's link is like, its wire while it has one, and what former wires did."""

    links: Links
    wire: Wire | None
    counts: Counts


class LinkControl:
    """The links of all peers of one lab."""

    def __init__(self, host: LabHost, seed: int) -> None:
        self._host = host
        self._seed = seed
        self._attachments: dict[str, Attachment] = {}
        self._addresses: dict[str, str] = {}
        self._cuts: list[Cut] = []
        self._cut_off: dict[str, list[str]] = {}
        self._shapes: dict[str, Shape] = {}
        self._changing = asyncio.Lock()

    async def started(self, peer: str) -> None:
        """A peer runs, perhaps again: what is broken for it must be so for its new process."""
        if not self._cuts and not self._shapes:
            self._attachments.pop(peer, None)
            return
        async with self._changing:
            before = self._attachments.pop(peer, None)
            now = await self._attachment(peer)
            if before != now:
                self._cut_off.pop(peer, None)
                shape = self._shapes.get(peer)
                if shape is not None:
                    await self._pull(shape)
                    await self._plug(peer, shape)
            await self._apply_cuts([peer])

    async def cut(self, cuts: Sequence[Cut], running: Sequence[str]) -> None:
        """Cut between peers; `running` are all peers that run."""
        async with self._changing:
            self._cuts.extend(cuts)
            await self._apply_cuts(running)

    async def mend(self, cuts: Sequence[Cut], running: Sequence[str]) -> None:
        """Take back cuts, each once."""
        async with self._changing:
            for cut in cuts:
                if cut in self._cuts:
                    self._cuts.remove(cut)
            await self._apply_cuts(running)

    def is_shaped(self, peer: str) -> bool:
        """Whether its link is no plain one."""
        return peer in self._shapes

    async def shape(self, peer: str, links: Links) -> None:
        """Make the plain link of a peer like this."""
        async with self._changing:
            shape = Shape(links, None, {})
            self._shapes[peer] = shape
            await self._plug(peer, shape)

    async def straighten(self, peer: str) -> Counts:
        """Make the link of a peer a plain one again; what became of its packets."""
        async with self._changing:
            shape = self._shapes.pop(peer, None)
            if shape is None:
                return {}
            await self._pull(shape)
            return shape.counts

    async def readdress(self, peer: str) -> Readdressed:
        """Give a peer another address."""
        async with self._changing:
            attachment = await self._attachment(peer)
            changed = await Readdressed.make(attachment, set(self._addresses.values()))
            self._addresses[peer] = changed.address
            return changed

    async def udp_socket(self, peer: str) -> socket.socket:
        """A socket where the peer runs."""
        return await self._host.udp_socket(peer)

    async def address_again(self, peer: str, changed: Readdressed) -> None:
        """Give a peer back the address that it had."""
        async with self._changing:
            self._addresses[peer] = changed.attachment.address
            await changed.undo()

    async def _attachment(self, peer: str) -> Attachment:
        if peer not in self._attachments:
            self._attachments[peer] = await self._host.attachment(peer)
            self._addresses[peer] = self._attachments[peer].address
        return self._attachments[peer]

    async def _apply_cuts(self, running: Sequence[str]) -> None:
        for peer in running:
            await self._attachment(peer)
        # A new peer may be in the way of an old one's cut, so all are looked at.
        for peer, attachment in self._attachments.items():
            addresses = unheard(self._cuts, peer, self._addresses)
            if addresses != self._cut_off.get(peer, []):
                namespace = f"--net={attachment.peer_namespace}"
                try:
                    await tool("nsenter", namespace, "nft", "-f", "-", stdin=rules(addresses))
                except BackendError:
                    if attachment.peer_namespace.exists():
                        raise
                    # Its container ended; the next one starts without any rule.
                self._cut_off[peer] = addresses

    async def _plug(self, peer: str, shape: Shape) -> None:
        attachment = await self._attachment(peer)
        name = secrets.token_hex(4)
        near, far = f"near{name}", f"far{name}"
        setup = Setup(
            peer_namespace=str(attachment.peer_namespace),
            peer_interface=attachment.interface,
            port=attachment.port,
            near=near,
            far=far,
            seed=f"{self._seed} {peer}",
        )
        await _on_switch(
            attachment,
            f"link add {near} type veth peer name {far}",
            f"link set {near} alias {owned_name('wire')}",
            f"link set {near} addrgenmode none",
            f"link set {far} addrgenmode none",
            f"link set {near} up",
            f"link set {far} up",
        )
        shape.wire = Wire(attachment, near, await _spawn(attachment, setup))
        await _answer(shape.wire)
        await _tell(shape.wire, shape.links)
        # The peer is without a link for an instant, but none of its packets takes both ways.
        await _on_switch(
            attachment,
            f"link set {attachment.port} nomaster",
            f"link set {far} master {attachment.bridge}",
        )

    async def _pull(self, shape: Shape) -> None:
        wire, shape.wire = shape.wire, None
        if wire is None:
            return
        if wire.process.stdin is not None:
            wire.process.stdin.close()
        try:
            for direction, counts in json.loads(await _answer(wire)).items():
                total = shape.counts.setdefault(direction, {})
                for name, count in counts.items():
                    total[name] = total.get(name, 0) + count
            await wire.process.wait()
        finally:
            if wire.process.returncode is None:
                wire.process.kill()
            await _on_switch(wire.attachment, f"link delete {wire.near}")
            await _return_port(wire.attachment)


async def _spawn(attachment: Attachment, setup: Setup) -> asyncio.subprocess.Process:
    nsenter = find_program("nsenter") or "nsenter"
    return await asyncio.create_subprocess_exec(
        *(
            nsenter,
            f"--net={attachment.switch_namespace}",
            "--",
            sys.executable,
            "-I",
            "-c",
            WIRE,
        ),
        json.dumps([str(PACKAGES), *filter(None, sys.path)]),
        json.dumps(asdict(setup)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=marked_environment(),
        start_new_session=True,
    )


async def _tell(wire: Wire, links: Links) -> None:
    if wire.process.stdin is None:
        raise BackendError("a wire can be told what to do")
    wire.process.stdin.write(links.to_json().encode() + b"\n")
    line = await _answer(wire)
    if line != READY:
        raise BackendError("a wire takes what it is told", [line])


async def _answer(wire: Wire) -> str:
    if wire.process.stdout is None:
        raise BackendError("a wire can answer")
    try:
        async with asyncio.timeout(WIRE_TIMEOUT_S):
            line = await wire.process.stdout.readline()
    except TimeoutError as error:
        raise BackendError(f"a wire answers within {WIRE_TIMEOUT_S:g} s") from error
    if not line:
        raise BackendError(
            "a wire runs until it is told to end",
            [f"it ended with status {await wire.process.wait()}; it said why on standard error"],
        )
    return line.decode().rstrip("\n")


async def _on_switch(attachment: Attachment, *commands: str) -> None:
    namespace = f"--net={attachment.switch_namespace}"
    await tool("nsenter", namespace, "ip", "-batch", "-", stdin="\n".join(commands) + "\n")


async def _return_port(attachment: Attachment) -> None:
    try:
        await _on_switch(attachment, f"link set {attachment.port} master {attachment.bridge}")
    except BackendError as error:
        # The cable of a container goes with it.
        if not any("Cannot find device" in line for line in error.evidence):
            raise
