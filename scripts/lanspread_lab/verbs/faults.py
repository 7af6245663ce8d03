"""`fault` and `heal`: breaks links, disks, files and peers, and puts them right again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lanspread_harness.backends import Need
from lanspread_harness.errors import EnvironmentLackingError, ScenarioError
from lanspread_harness.faults import Link
from lanspread_lab.errors import LabError
from lanspread_lab.values import LINK_OPTIONS, link_fields, size_bytes
from lanspread_lab.world import ActiveFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from lanspread_harness.client import Peer
    from lanspread_lab.core import Core

Arguments = dict[str, Any]

DEFAULT_PORT = 5353
"""The one of mDNS."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault that lasts until it is healed."""

    peers: int
    needs: Need | None
    make: Callable[[Core, list[Peer], Arguments], AbstractAsyncContextManager[Any]]
    options: tuple[str, ...] = ()


def _cut(core: Core, peers: list[Peer], given: Arguments) -> AbstractAsyncContextManager[Any]:
    return core.world.lab.partition(peers[0], peers[1], one_way=bool(given.get("one_way")))


def _isolate(core: Core, peers: list[Peer], given: Arguments) -> AbstractAsyncContextManager[Any]:
    hears, is_heard = bool(given.get("hears")), bool(given.get("is_heard"))
    return core.world.lab.isolate(peers[0], hears=hears, is_heard=is_heard)


def _shape(core: Core, peers: list[Peer], given: Arguments) -> AbstractAsyncContextManager[Any]:
    try:
        link = Link(**link_fields(given))
    except ValueError as error:
        raise LabError("lab-usage", str(error)) from error
    if link == Link():
        options = ", ".join(f"--{name}" for name in LINK_OPTIONS)
        raise LabError("lab-usage", "a shape needs at least one option", f"options are: {options}")
    if core.world.lab.links.is_shaped(peers[0].name):
        raise LabError(
            "lab-usage", f"the link of {peers[0].name} has a shape already", "heal that one first"
        )
    direction = {"outbound": link} if given.get("outbound") else {}
    direction |= {"inbound": link} if given.get("inbound") else {}
    return core.world.lab.shape(peers[0], **(direction or {"link": link}))


def _freeze(core: Core, peers: list[Peer], _: Arguments) -> AbstractAsyncContextManager[Any]:
    return core.world.lab.stopped(peers[0])


def _disk_full(core: Core, peers: list[Peer], given: Arguments) -> AbstractAsyncContextManager[Any]:
    return core.world.lab.disk_full(peers[0], free_bytes=size_bytes(given.get("free") or "0"))


def _unreadable(
    core: Core, peers: list[Peer], given: Arguments
) -> AbstractAsyncContextManager[Any]:
    return core.world.lab.unreadable(peers[0], core.world.file_of(peers[0], _path(given)))


def _flip(core: Core, peers: list[Peer], given: Arguments) -> AbstractAsyncContextManager[Any]:
    path = core.world.file_of(peers[0], _path(given))
    offset = int(given.get("offset") or 0)
    if not 0 <= offset < path.stat().st_size:
        raise LabError("lab-usage", f"{path.name} has no byte {offset}")
    return core.world.lab.bit_flip(peers[0], path, offset)


def _readdress(core: Core, peers: list[Peer], _: Arguments) -> AbstractAsyncContextManager[Any]:
    return core.world.lab.readdress(peers[0])


def _port_taken(
    core: Core, peers: list[Peer], given: Arguments
) -> AbstractAsyncContextManager[Any]:
    return core.world.lab.port_taken(peers[0], int(given.get("port") or DEFAULT_PORT))


def _path(given: Arguments) -> str:
    path = given.get("path")
    if not path:
        raise LabError("lab-usage", "name the file with --path", "such as quake/quake.eti")
    return str(path)


LASTING: dict[str, Lasting] = {
    "cut": Lasting(2, Need.LINKS, _cut, ("one_way",)),
    "isolate": Lasting(1, Need.LINKS, _isolate, ("hears", "is_heard")),
    "shape": Lasting(1, Need.LINKS, _shape, (*LINK_OPTIONS, "outbound", "inbound")),
    "readdress": Lasting(1, Need.LINKS, _readdress),
    "port-taken": Lasting(1, Need.NAMESPACES, _port_taken, ("port",)),
    "disk-full": Lasting(1, Need.DISKS, _disk_full, ("free",)),
    "unreadable": Lasting(1, Need.PERMISSIONS, _unreadable, ("path",)),
    "flip": Lasting(1, None, _flip, ("path", "offset")),
    "freeze": Lasting(1, None, _freeze),
}


async def _kill(peer: Peer) -> None:
    await peer.kill()


async def _stop(peer: Peer) -> None:
    if peer.frozen:
        await peer.thaw()
    peer.close_stdin()
    await peer.exited()


async def _restart(peer: Peer) -> None:
    await peer.restart()


async def _thaw(peer: Peer) -> None:
    await peer.thaw()


INSTANT: dict[str, tuple[bool, Callable[[Peer], Awaitable[None]]]] = {
    "kill": (True, _kill),
    "stop": (True, _stop),
    "restart": (False, _restart),
    "thaw": (True, _thaw),
}
"""Faults that are over when they are done, and whether the peer has to run."""

KINDS = (*LASTING, *INSTANT)


async def fault(core: Core, arguments: Arguments) -> Arguments:
    """Break something."""
    kind = str(arguments["kind"])
    names = [str(name) for name in arguments.get("peers", ())]
    options = {name: value for name, value in arguments.get("options", {}).items() if value}
    if kind in INSTANT:
        return await _instant(core, kind, _peers(core, kind, names, 1))
    lasting = LASTING.get(kind)
    if lasting is None:
        raise LabError("lab-usage", f"there is no fault {kind}", f"faults are: {', '.join(KINDS)}")
    foreign = sorted(set(options) - set(lasting.options))
    if foreign:
        known = ", ".join(f"--{name}" for name in lasting.options) or "none"
        raise LabError("lab-usage", f"{kind} has no --{foreign[0]}", f"its options are: {known}")
    if lasting.needs is not None:
        core.require(lasting.needs)
    peers = _peers(core, kind, names, lasting.peers)
    step = core.steps.fault(kind, names, options)
    try:
        begun = await core.world.lab.begin(lasting.make(core, peers, options))
    except EnvironmentLackingError as error:
        raise LabError("lab-environment", str(error)) from error
    except (ScenarioError, ValueError) as error:
        raise LabError("lab-fault-failed", str(error)) from error
    core.world.faults_begun += 1
    fault_id = f"f{core.world.faults_begun}"
    step.held(fault_id)
    detail = dict(options)
    if isinstance(begun.value, str):
        detail["address"] = begun.value
    active = ActiveFault(fault_id, kind, names, detail, begun.heal)
    core.world.faults[fault_id] = active
    return active.as_json()


async def heal(core: Core, arguments: Arguments) -> Arguments:
    """Put right one fault, or all of them, the last one first."""
    active = core.world.faults
    wanted = str(arguments.get("fault") or "all")
    if wanted != "all" and wanted not in active:
        known = ", ".join(active) or "none"
        raise LabError("lab-no-fault", f"there is no fault {wanted}", f"in effect are: {known}")
    ids = list(reversed(active)) if wanted == "all" else [wanted]
    for fault_id in ids:
        await active[fault_id].heal()
        del active[fault_id]
        core.steps.heal(fault_id)
    return {"healed": ids}


def _peers(core: Core, kind: str, names: list[str], count: int) -> list[Peer]:
    if len(names) != count:
        peers = "one peer" if count == 1 else f"{count} peers"
        raise LabError("lab-usage", f"{kind} is about {peers}, not {len(names)}")
    if len(set(names)) < len(names):
        raise LabError("lab-usage", f"{kind} is about different peers")
    needs_process = kind not in INSTANT or INSTANT[kind][0]
    find = core.world.running if needs_process else core.world.peer
    return [find(name) for name in names]


async def _instant(core: Core, kind: str, peers: list[Peer]) -> Arguments:
    peer = peers[0]
    step = core.steps.fault(kind, [peer.name], {})
    await INSTANT[kind][1](peer)
    frozen = [
        f for f, it in core.world.faults.items() if it.kind == "freeze" and it.peers == [peer.name]
    ]
    for fault_id in frozen if not peer.frozen else ():
        # Killed or let run on: there is nothing to heal any more.
        await core.world.faults.pop(fault_id).heal()
    step.held(None)
    return {"fault": kind, "peers": [peer.name], "running": peer.running}
