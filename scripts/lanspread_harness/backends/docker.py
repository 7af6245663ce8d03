"""Peers as containers on a bridge of their own, through the `docker` command.

Every container and network carries two labels: `lanspread.lab` names the lab it belongs to and
`lanspread.runner` the process that made it (boot, pid and start time, so that a reused pid is not
taken for it). Sweeping removes what belongs to this runner or to one that no longer lives, and
leaves the labs of other living runners alone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.backends import Attachment, ExitStatus, Need, PipedProcess
from lanspread_harness.backends.subnets import SUBNETS, host_address
from lanspread_harness.backends.tools import lacking_for_disks, lacking_for_links, tool
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.identity import is_alive, is_doomed, runner_identity
from lanspread_harness.leftovers import process_descriptor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Sequence

IMAGE = "lanspread-peer-cli"
BINARY_LABEL = "lanspread.binary"
INTERFACE = "eth0"
"""What the engine calls a container's only cable."""

BRIDGE_NAME_CHARS = 12
"""How much of a network's id is in the name of its bridge."""

LAB_LABEL = "lanspread.lab"
RUNNER_LABEL = "lanspread.runner"

SUBNET_ATTEMPTS = 16
"""Other labs and runners take from the same 512; this many collisions in a row mean a leak."""

GONE = ("is not running", "No such container", "no such container")
"""What the engine says of a container that ended before the command reached it."""


async def docker(*arguments: str) -> str:
    """Run one docker command and return what it printed; failure raises `BackendError`."""
    return await tool("docker", *arguments)


class ContainerPeer(PipedProcess):
    """A peer in a container; the local process is the `docker run` that is attached to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        command_line: Sequence[str],
        container: str,
        arguments: Sequence[str],
    ) -> None:
        super().__init__(process, command_line)
        self._container = container
        self._arguments = list(arguments)

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the peer, which is the container's first process.

        Where its process can be seen from here, the signal arrives at once; the engine takes a
        third of a second for it, and more on a busy machine.
        """
        if not signal_process(self._arguments, number):
            await _signal_by_engine(self._container, number)

    async def wait(self) -> ExitStatus:
        """Wait for the end."""
        return ExitStatus.of_container(await self.process.wait())


@dataclass(frozen=True, slots=True)
class Network:
    """What the engine made for a lab."""

    subnet: str
    bridge: str


class DockerHost:
    """The containers of one lab."""

    def __init__(
        self,
        lab_id: str,
        network: Network,
        directory: Path,
        attached: list[ContainerPeer],
    ) -> None:
        self._lab_id = lab_id
        self._subnet = network.subnet
        self._bridge = network.bridge
        self._directory = directory
        self._addresses: dict[str, str] = {}
        self._containers: dict[str, str] = {}
        self._attached = attached

    def listen_address(self) -> str:
        """Any address of the container, any port."""
        return "0.0.0.0:0"

    def mdns_interface(self) -> str:
        """A container has its bridge and nothing else."""
        return "all"

    def asks_for_neighbours(self) -> bool:
        """The engine tells containers nothing of each other."""
        return True

    def reachable(self, peer: str, listen_addr: str) -> str:
        """The container's address on the bridge with the port it listens on."""
        _, _, port = listen_addr.rpartition(":")
        return f"{self._addresses[peer]}:{port}"

    async def start(
        self, peer: str, run: int, arguments: Sequence[str], stderr: Path
    ) -> ContainerPeer:
        """Start a container; a peer keeps its address over restarts."""
        address = self._addresses.setdefault(peer, host_address(self._subnet, len(self._addresses)))
        container = f"{self._lab_id}-{peer}-{run}"
        command_line = [
            *("docker", "run", "--interactive", "--name", container, "--hostname", peer),
            *("--network", self._lab_id, "--ip", address, "--log-driver", "none"),
            *("--user", f"{os.getuid()}:{os.getgid()}"),
            # A peer has no need of privileges, and without them file modes hold for it.
            *("--cap-drop", "ALL"),
            # The same path inside and outside, so that a record's paths mean the same to both.
            *("--volume", f"{self._directory}:{self._directory}"),
            *_labels(self._lab_id),
            *(IMAGE, *arguments),
        ]
        process = await PipedProcess.spawn(command_line, stderr)
        started = ContainerPeer(process, command_line, container, arguments)
        self._attached.append(started)
        self._containers[peer] = container
        return started

    async def attachment(self, peer: str) -> Attachment:
        """Where the running container hangs on the lab's bridge."""
        namespace = Path("/proc") / (await self._pid(peer)) / "ns/net"
        # The other end of its cable, by number; the engine tells no name of it.
        inside = await tool("nsenter", f"--net={namespace}", "ip", "-json", "link", "show")
        cables = {link["ifname"]: link.get("link_index") for link in json.loads(inside)}
        cable = cables.get(INTERFACE)
        outside = json.loads(await tool("ip", "-json", "link", "show"))
        ports = [link["ifname"] for link in outside if link["ifindex"] == cable]
        if not ports or all(link["ifname"] != self._bridge for link in outside):
            raise BackendError(
                f"the cable of {peer} ends on a bridge of this machine",
                [f"its other end is number {cable}", "is the engine rootless or remote?"],
            )
        return Attachment(
            peer_namespace=namespace,
            interface=INTERFACE,
            switch_namespace=Path("/proc/self/ns/net"),
            bridge=self._bridge,
            port=ports[0],
            address=self._addresses[peer],
        )

    async def udp_socket(self, peer: str) -> socket.socket:  # noqa: ARG002
        """The machine is on every container's bridge."""
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def _pid(self, peer: str) -> str:
        state = "{{.State.Pid}}"
        return (await docker("inspect", "--format", state, self._containers[peer])).strip()


class DockerBackend:
    """Runs peers in containers of the image `lanspread-peer-cli`."""

    name = "docker"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed} {os.getpid()}")

    def unsupported(self, needs: frozenset[Need]) -> str | None:
        """Links and disks are broken from outside the containers, which takes rights there."""
        lacking = None
        if Need.LINKS in needs:
            lacking = lacking_for_links()
        if Need.DISKS in needs:
            lacking = lacking or lacking_for_disks()
        if Need.EXFAT in needs:
            lacking = (
                lacking or "a file system in user space is for its own user, not for containers"
            )
        return lacking

    @asynccontextmanager
    async def open(self, lab_id: str, directory: Path) -> AsyncIterator[DockerHost]:
        """A host with a bridge of its own; bridge and containers go when it closes."""
        attached: list[ContainerPeer] = []
        try:
            network = await self._create_network(lab_id)
            yield DockerHost(lab_id, network, directory, attached)
        finally:
            await _remove(f"{LAB_LABEL}={lab_id}")
            for peer in attached:
                peer.stdin.close()
                await peer.wait()

    async def sweep(self) -> None:
        """Remove containers and networks of this runner and of runners that died."""
        for owner in await _owners():
            if owner == runner_identity() or not is_alive(owner):
                await _remove(f"{RUNNER_LABEL}={owner}")
        await _remove_wires()

    async def _create_network(self, lab_id: str) -> Network:
        refusal: BackendError | None = None
        for subnet in self._random.sample(SUBNETS, SUBNET_ATTEMPTS):
            try:
                created = await docker(
                    *("network", "create", "--driver", "bridge", "--subnet", f"{subnet}.0/24"),
                    *(*_labels(lab_id), lab_id),
                )
            except BackendError as error:
                if not any("overlap" in line for line in error.evidence):
                    raise
                refusal = error
            else:
                return Network(subnet, f"br-{created.strip()[:BRIDGE_NAME_CHARS]}")
        raise BackendError("a free network of 198.18.0.0/15 is left for the lab") from refusal


def signal_process(arguments: Sequence[str], number: signal.Signals) -> bool:
    """Send a signal to the process that was started with exactly these arguments, if it is found.

    They name directories of one run alone, so there is at most one such process. An engine on
    another machine, or in another namespace of processes, hides it.
    """
    wanted = [os.fsencode(argument) for argument in arguments]
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError), process_descriptor(int(process.name)) as descriptor:
            # Read only now: what the descriptor stands for cannot become another process.
            if (process / "cmdline").read_bytes().split(b"\0")[1:-1] == wanted:
                signal.pidfd_send_signal(descriptor, number)
                return True
    return False


async def _signal_by_engine(container: str, number: signal.Signals) -> None:
    try:
        await docker("kill", "--signal", number.name, container)
    except BackendError as error:
        if not any(text in line for line in error.evidence for text in GONE):
            raise


async def check_engine() -> None:
    """Raise `EnvironmentLackingError` unless a docker engine answers."""
    try:
        await docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError as error:
        podman = "; podman is not supported" if shutil.which("podman") else ""
        raise EnvironmentLackingError(f"the docker command is not installed{podman}") from error
    except BackendError as error:
        reason = " ".join(error.evidence)
        raise EnvironmentLackingError(f"no docker engine answers: {reason}") from error


async def image_binary_digest() -> str | None:
    """The SHA-256 of the binary in the image, or `None` where there is no image."""
    try:
        labels = await docker("image", "inspect", "--format", "{{json .Config.Labels}}", IMAGE)
    except BackendError:
        return None
    digest = (json.loads(labels) or {}).get(BINARY_LABEL)
    return digest if isinstance(digest, str) else ""


def _labels(lab_id: str) -> list[str]:
    return ["--label", f"{LAB_LABEL}={lab_id}", "--label", f"{RUNNER_LABEL}={runner_identity()}"]


async def _owners() -> set[str]:
    found: set[str] = set()
    for kind in (("ps", "--all"), ("network", "ls")):
        listed = await docker(
            *(*kind, "--filter", f"label={RUNNER_LABEL}"),
            *("--format", f'{{{{.Label "{RUNNER_LABEL}"}}}}'),
        )
        found.update(listed.split())
    return found


async def _remove_wires() -> None:
    """Remove the cables of faults on the engine's bridges, which are in the machine's namespace."""
    if lacking_for_links() is not None:
        return
    for link in json.loads(await tool("ip", "-json", "link", "show")):
        if is_doomed(link.get("ifalias", "")):
            await tool("ip", "link", "delete", link["ifname"])


async def _remove(label: str) -> None:
    containers = (await docker("ps", "--all", "--quiet", "--filter", f"label={label}")).split()
    if containers:
        await docker("rm", "--force", "--volumes", *containers)
    networks = (await docker("network", "ls", "--quiet", "--filter", f"label={label}")).split()
    if networks:
        await docker("network", "rm", *networks)
