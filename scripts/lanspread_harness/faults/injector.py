"""The faults of a lab, each as an `async with` that puts right at its end what it broke.

Scenarios call a `FaultInjector`, which every `Lab` is; it uses `LinkControl`, disks and files, and
writes begin and end of each fault into the history. Kill, stop and restart belong to `Peer`.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lanspread_harness.errors import BackendError
from lanspread_harness.faults.cuts import Cut
from lanspread_harness.faults.files import FlippedBit, Unreadable
from lanspread_harness.faults.impairment import Link
from lanspread_harness.faults.link_config import LinkConfig
from lanspread_harness.faults.links import LinkControl
from lanspread_harness.history import FaultPhase

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from lanspread_harness.backends import LabHost
    from lanspread_harness.client import Peer
    from lanspread_harness.faults.addresses import Readdressed
    from lanspread_harness.faults.disks import Disk
    from lanspread_harness.fields import JsonObject, JsonValue
    from lanspread_harness.history import History

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Begun(Generic[T]):
    """A fault in effect. `value` is what its `async with` would give, such as a new address."""

    value: T
    _stack: AsyncExitStack

    async def heal(self) -> None:
        """Undo it. Doing so again changes nothing."""
        await _to_the_end(self._stack.aclose())


class FaultInjector:
    """What a lab can do to its peers. All of it is undone when the `async with` ends, however.

    A fault that is to last is entered with `until_end`, and undone before the peers are asked to
    end. Kill, stop, restart and signals are methods of the peer.
    """

    def __init__(self, host: LabHost, history: History, seed: int) -> None:
        self.peers: list[Peer] = []
        self.links = LinkControl(host, seed)
        self.disks: dict[str, Disk] = {}
        self._faults = AsyncExitStack()
        self._fault_log = history

    async def until_end(self, fault: AbstractAsyncContextManager[T]) -> T:
        """Begin a fault that lasts until the scenario ends."""
        return await self._faults.enter_async_context(fault)

    async def begin(self, fault: AbstractAsyncContextManager[T]) -> Begun[T]:
        """Begin a fault that lasts until `heal` is called on what this returns, or the end."""
        stack = AsyncExitStack()
        value = await stack.enter_async_context(fault)
        self._faults.push_async_exit(stack)
        return Begun(value, stack)

    async def mend_all(self) -> None:
        """Undo what `until_end` began, last first."""
        await _to_the_end(self._faults.aclose())

    async def hold(self, duration_s: float) -> None:
        """Let what is broken stay so for a time. For anything else, wait for an event."""
        await asyncio.sleep(duration_s)

    @asynccontextmanager
    async def partition(
        self, first: Peer, second: Peer, *, one_way: bool = False
    ) -> AsyncIterator[None]:
        """Nothing gets from one peer to the other, or with `one_way` from the first to the second.

        Senders are told nothing. Needs `Need.LINKS`.
        """
        cuts = [Cut(first.name, second.name)]
        if not one_way:
            cuts.append(Cut(second.name, first.name))
        async with self._cut("partition", [first, second], cuts, {"one_way": one_way}):
            yield

    @asynccontextmanager
    async def isolate(
        self, peer: Peer, *, hears: bool = False, is_heard: bool = False
    ) -> AsyncIterator[None]:
        """A peer is cut off from all others, those that are to come included.

        With `hears` it still gets what they send, with `is_heard` they get what it sends. Needs
        `Need.LINKS`.
        """
        cuts = [] if hears else [Cut(None, peer.name)]
        cuts += [] if is_heard else [Cut(peer.name, None)]
        async with self._cut("isolate", [peer], cuts, {"hears": hears, "is_heard": is_heard}):
            yield

    @asynccontextmanager
    async def shape(
        self,
        peer: Peer,
        link: Link | None = None,
        *,
        outbound: Link | None = None,
        inbound: Link | None = None,
    ) -> AsyncIterator[None]:
        """Make a peer's link bad: `link` for each direction, or what it sends and gets apart.

        A peer's link can have one shape at a time. Needs `Need.LINKS`.
        """
        links = LinkConfig(outbound or link or Link(), inbound or link or Link())
        detail: JsonObject = {
            "outbound": dict(links.outbound.as_detail()),
            "inbound": dict(links.inbound.as_detail()),
        }
        if self.links.is_shaped(peer.name):
            raise ValueError(f"the link of {peer.name} has a shape already")

        async def undo() -> JsonObject:
            counts = await self.links.restore(peer.name)
            return {direction: dict(of) for direction, of in counts.items()}

        async with self._fault("shape", [peer], detail, undo):
            await self.links.shape(peer.name, links)
            yield

    @asynccontextmanager
    async def readdress(self, peer: Peer) -> AsyncIterator[str]:
        """The peer has another address, which the block is given; the old one is gone.

        Nobody is told, as when a DHCP server gives another lease. Needs `Need.LINKS`.
        """
        changes: list[Readdressed] = []

        async def undo() -> JsonObject:
            for change in changes:
                await self.links.address_again(peer.name, change)
            return {"address": [change.address for change in changes]}

        async with self._fault("readdress", [peer], {}, undo):
            changes.append(await self.links.readdress(peer.name))
            yield changes[0].address

    @asynccontextmanager
    async def port_taken(self, peer: Peer, port: int) -> AsyncIterator[None]:
        """Another program holds a UDP port where the peer runs, and does not share it.

        A peer that is started anew meanwhile finds it so. Needs `Need.NAMESPACES`.
        """
        holders: list[socket.socket] = []

        async def undo() -> JsonObject:
            for holder in holders:
                holder.close()
            return {}

        async with self._fault("port-taken", [peer], {"port": port}, undo):
            holder = await self.links.udp_socket(peer.name)
            holders.append(holder)
            holder.bind(("", port))
            yield

    @asynccontextmanager
    async def disk_full(self, peer: Peer, *, free_bytes: int = 0) -> AsyncIterator[None]:
        """Leave no more than this room on the peer's disk, which it must have of its own.

        Give it one with `lab.peer(…, disk_mib=…)`. Needs `Need.DISKS`.
        """
        disk = self.disks.get(peer.name)
        if disk is None:
            raise BackendError("a disk of its own", ["none; give it disk_mib"], about=peer.name)

        async def undo() -> JsonObject:
            used_bytes = disk.used_bytes()
            await disk.restore()
            return {"used_bytes": used_bytes, "size_bytes": disk.size_bytes}

        async with self._fault("disk-full", [peer], {"free_bytes": free_bytes}, undo):
            await disk.shrink(free_bytes)
            yield

    @asynccontextmanager
    async def unreadable(self, peer: Peer, path: Path) -> AsyncIterator[None]:
        """The peer may not open a file. Needs `Need.PERMISSIONS`."""
        damage: list[Unreadable] = []

        async def undo() -> JsonObject:
            for done in damage:
                done.repair()
            return {}

        async with self._fault("unreadable", [peer], {"path": str(path)}, undo):
            damage.append(Unreadable.make(path))
            yield

    @asynccontextmanager
    async def bit_flip(self, peer: Peer, path: Path, offset: int = 0) -> AsyncIterator[None]:
        """One bit of a peer's file is wrong, with nothing that would tell: size and times stay."""
        damage: list[FlippedBit] = []

        async def undo() -> JsonObject:
            for done in damage:
                done.repair()
            return {}

        detail: JsonObject = {"path": str(path), "offset": offset}
        async with self._fault("bit-flip", [peer], detail, undo):
            damage.append(FlippedBit.make(path, offset))
            yield

    @asynccontextmanager
    async def stopped(self, peer: Peer) -> AsyncIterator[None]:
        """The peer stands still (SIGSTOP), its connections open."""
        await peer.freeze()
        try:
            yield
        finally:
            await _to_the_end(peer.thaw())

    @asynccontextmanager
    async def unread(self, peer: Peer) -> AsyncIterator[None]:
        """Nobody reads what the peer prints, as where the program that started it hangs."""
        process = peer.session.process

        async def undo() -> JsonObject:
            process.resume_output()
            return {}

        async with self._fault("unread", [peer], {}, undo):
            process.pause_output()
            yield

    @asynccontextmanager
    async def _cut(
        self, name: str, peers: Sequence[Peer], cuts: Sequence[Cut], detail: Mapping[str, JsonValue]
    ) -> AsyncIterator[None]:
        async def undo() -> JsonObject:
            await self.links.mend(cuts, self._running())
            return {}

        async with self._fault(name, peers, detail, undo):
            await self.links.cut(cuts, self._running())
            yield

    @asynccontextmanager
    async def _fault(
        self,
        name: str,
        peers: Sequence[Peer],
        detail: Mapping[str, JsonValue],
        undo: Callable[[], Awaitable[JsonObject]],
    ) -> AsyncIterator[None]:
        names = [peer.name for peer in peers]
        fault_id = self._fault_log.fault(name, FaultPhase.BEGIN, names, detail=detail)
        seen: JsonObject = {}
        try:
            yield
        finally:
            try:
                seen = await _to_the_end(undo())
            finally:
                end = FaultPhase.END
                self._fault_log.fault(name, end, names, fault_id=fault_id, detail=seen)

    def _running(self) -> list[str]:
        return [peer.name for peer in self.peers if peer.running]


async def _to_the_end(undoing: Awaitable[T]) -> T:
    """Wait for something that must not be left half done, also when cancelled meanwhile."""
    task = asyncio.ensure_future(undoing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
