"""Breaks the links of a lab: cuts in the receivers' namespaces, link shapers at the peers' ports.

`FaultInjector` asks for it, a backend's `Attachment` says where. A fault belongs to the peer, not
to its process: a peer that starts again while a fault is on has it again. In a container, which
gets a new link with each start, that is so from `ready` on.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import BackendError
from lanspread_harness.faults.addresses import Readdressed
from lanspread_harness.faults.cuts import Cut, rules, unheard
from lanspread_harness.faults.link_config import READY, LinkConfig, PacketCounts, ShaperSetup
from lanspread_harness.identity import owned_name
from lanspread_harness.orphan_cleanup import marked_environment
from lanspread_harness.system_programs import find_program, tool

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from lanspread_harness.backends import Attachment, LabHost

PACKAGES = Path(__file__).parents[2]
"""Where this package lies; the shaper must find it too, however the runner did."""

SHAPER_PROGRAM = """
import json, sys
packages, *others = json.loads(sys.argv.pop(1))
sys.path.insert(0, packages)
sys.path.extend(others)
from lanspread_harness.faults.link_shaper import main
main()
"""
"""A shaper's program. Python runs it isolated, so neither the working directory nor the environment
decides which modules there are; where the runner finds its packages comes last."""

SHAPER_TIMEOUT_S = 20.0
"""A shaper is ready in 0.2 s, and ends at once when its input does."""


@dataclass(slots=True)
class ShaperProcess:
    """A running shaper and where it is."""

    attachment: Attachment
    near: str
    process: asyncio.subprocess.Process


@dataclass(slots=True)
class Shape:
    """What a peer's link is like, its shaper while it has one, and what former shapers did."""

    links: LinkConfig
    shaper: ShaperProcess | None
    counts: PacketCounts


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
                    await self._remove_shaper(shape)
                    await self._insert_shaper(peer, shape)
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

    async def shape(self, peer: str, links: LinkConfig) -> None:
        """Make the plain link of a peer like this."""
        async with self._changing:
            shape = Shape(links, None, {})
            self._shapes[peer] = shape
            await self._insert_shaper(peer, shape)

    async def restore(self, peer: str) -> PacketCounts:
        """Make the link of a peer a plain one again; what became of its packets."""
        async with self._changing:
            shape = self._shapes.pop(peer, None)
            if shape is None:
                return {}
            await self._remove_shaper(shape)
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

    async def _insert_shaper(self, peer: str, shape: Shape) -> None:
        attachment = await self._attachment(peer)
        name = secrets.token_hex(4)
        near, far = f"near{name}", f"far{name}"
        setup = ShaperSetup(
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
            f"link set {near} alias {owned_name('shaper')}",
            f"link set {near} addrgenmode none",
            f"link set {far} addrgenmode none",
            f"link set {near} up",
            f"link set {far} up",
        )
        shape.shaper = ShaperProcess(attachment, near, await _spawn(attachment, setup))
        await _read_answer(shape.shaper)
        await _configure(shape.shaper, shape.links)
        # The peer is without a link for an instant, but none of its packets takes both ways.
        await _on_switch(
            attachment,
            f"link set {attachment.port} nomaster",
            f"link set {far} master {attachment.bridge}",
        )

    async def _remove_shaper(self, shape: Shape) -> None:
        shaper, shape.shaper = shape.shaper, None
        if shaper is None:
            return
        if shaper.process.stdin is not None:
            shaper.process.stdin.close()
        try:
            for direction, counts in json.loads(await _read_answer(shaper)).items():
                total = shape.counts.setdefault(direction, {})
                for name, count in counts.items():
                    total[name] = total.get(name, 0) + count
            await shaper.process.wait()
        finally:
            if shaper.process.returncode is None:
                shaper.process.kill()
            await _on_switch(shaper.attachment, f"link delete {shaper.near}")
            await _return_port(shaper.attachment)


async def _spawn(attachment: Attachment, setup: ShaperSetup) -> asyncio.subprocess.Process:
    nsenter = find_program("nsenter") or "nsenter"
    return await asyncio.create_subprocess_exec(
        *(
            nsenter,
            f"--net={attachment.switch_namespace}",
            "--",
            sys.executable,
            "-I",
            "-c",
            SHAPER_PROGRAM,
        ),
        json.dumps([str(PACKAGES), *filter(None, sys.path)]),
        json.dumps(asdict(setup)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=marked_environment(),
        start_new_session=True,
    )


async def _configure(shaper: ShaperProcess, links: LinkConfig) -> None:
    if shaper.process.stdin is None:
        raise BackendError("a link shaper has an input", ["none"])
    shaper.process.stdin.write(links.to_json().encode() + b"\n")
    line = await _read_answer(shaper)
    if line != READY:
        raise BackendError("a link shaper takes a new configuration", [line])


async def _read_answer(shaper: ShaperProcess) -> str:
    if shaper.process.stdout is None:
        raise BackendError("a link shaper has an output", ["none"])
    try:
        async with asyncio.timeout(SHAPER_TIMEOUT_S):
            line = await shaper.process.stdout.readline()
    except TimeoutError as error:
        raise BackendError(
            f"a link shaper answers within {SHAPER_TIMEOUT_S:g} s", ["no answer"]
        ) from error
    if not line:
        raise BackendError(
            "a link shaper runs until its input ends",
            [f"exit with status {await shaper.process.wait()}; standard error says why"],
        )
    return line.decode().rstrip("\n")


async def _on_switch(attachment: Attachment, *commands: str) -> None:
    namespace = f"--net={attachment.switch_namespace}"
    await tool("nsenter", namespace, "ip", "-batch", "-", stdin="\n".join(commands) + "\n")


async def _return_port(attachment: Attachment) -> None:
    try:
        await _on_switch(attachment, f"link set {attachment.port} master {attachment.bridge}")
    except BackendError as error:
        # The link of a container goes with it.
        if not any("Cannot find device" in line for line in error.evidence):
            raise
