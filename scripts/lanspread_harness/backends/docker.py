"""Peers as containers on a bridge of their own, through the `docker` command.

Every container and network carries two labels: `lanspread.lab` names the lab it belongs to and
`lanspread.owner` the process that made it (its `identity`). Sweeping removes what belongs to this
runner or to one that is known to be dead. It leaves alone the labs of the living, and of those of
whom nothing is known, such as runners in containers beside this one that share the engine.
"""

from __future__ import annotations

import asyncio
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
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.identity import is_dead, is_doomed, runner_identity, unique_token
from lanspread_harness.orphan_cleanup import open_pidfd
from lanspread_harness.system_programs import lacking_for_disks, lacking_for_links, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

IMAGE = "lanspread-peer-cli"
BINARY_LABEL = "lanspread.binary"
LABELS_FORMAT = "{{json .Config.Labels}}"

PROBE = "probe"
"""What a container writes to show that it sees a directory."""

HELD = "held."
"""Before the identity of a runner, in the tag that keeps the image it uses."""

INTERFACE = "eth0"
"""The engine's name of a container's only network interface."""

BRIDGE_NAME_CHARS = 12
"""How much of a network's id is in the name of its bridge."""

LAB_LABEL = "lanspread.lab"
RUNNER_LABEL = "lanspread.owner"

SUBNET_ATTEMPTS = 16
"""Other labs and runners take from the same 512; this many collisions in a row mean a leak."""

REMOVE_ATTEMPTS = 20
REMOVE_PAUSE_S = 0.5
"""The engine takes seconds for a container on a busy machine, and refuses others that want it."""

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

    def pid(self) -> int | None:
        """The first process of the container, as it is numbered here."""
        return find_process(self._arguments)

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
        image: str,
        attached: list[ContainerPeer],
    ) -> None:
        self._lab_id = lab_id
        self._image = image
        self._subnet = network.subnet
        self._bridge = network.bridge
        self._directory = directory
        self._addresses: dict[str, str] = {}
        self._containers: dict[str, str] = {}
        self._attached = attached

    def listen_address(self, peer: str) -> str:  # noqa: ARG002
        """Any address of the container, any port."""
        return "0.0.0.0:0"

    def mdns_interface(self) -> str:
        """A container has its bridge and nothing else."""
        return "all"

    def uses_arp(self) -> bool:
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
            *bind_mount(self._directory),
            *_labels(self._lab_id),
            *(self._image, *arguments),
        ]
        process = await PipedProcess.spawn(command_line, stderr)
        started = ContainerPeer(process, command_line, container, arguments)
        self._attached.append(started)
        self._containers[peer] = container
        return started

    async def start_hostile(
        self,
        name: str,
        arguments: Sequence[str],  # noqa: ARG002
        stderr: Path,  # noqa: ARG002
    ) -> ContainerPeer:
        """There is none: the image holds the peer and nothing else."""
        got = "none in containers; say that META needs Need.HOSTILE"
        raise BackendError("a program that attacks peers", [got], about=name)

    async def attachment(self, peer: str) -> Attachment:
        """Where the running container hangs on the lab's bridge."""
        namespace = Path("/proc") / (await self._pid(peer)) / "ns/net"
        # The other end of its veth pair, by number; the engine tells no name of it.
        inside = await tool("nsenter", f"--net={namespace}", "ip", "-json", "link", "show")
        far_ends = {link["ifname"]: link.get("link_index") for link in json.loads(inside)}
        far_end = far_ends.get(INTERFACE)
        outside = json.loads(await tool("ip", "-json", "link", "show"))
        ports = [link["ifname"] for link in outside if link["ifindex"] == far_end]
        if not ports or all(link["ifname"] != self._bridge for link in outside):
            raise BackendError(
                f"the link of {peer} ends on a bridge of this machine",
                [f"its other end is number {far_end}", "is the engine rootless or remote?"],
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
    """Runs peers in containers of one image, named by its id: a tag may be moved meanwhile."""

    name = "docker"

    def __init__(self, image: str, seed: int) -> None:
        self._image = image
        self._random = random.Random(f"{seed} {unique_token()}")

    def unsupported(self, needs: frozenset[Need]) -> str | None:
        """Links and disks are broken from outside the containers, which takes rights there."""
        if Need.NAMESPACES in needs:
            return "a container's network ends with the container; use --backend netns"
        if needs & {Need.PROGRAMS, Need.HOSTILE}:
            return "the image holds nothing but the peer; use --backend netns"
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
            yield DockerHost(lab_id, network, directory, self._image, attached)
        finally:
            await _remove(f"{LAB_LABEL}={lab_id}")
            for peer in attached:
                peer.stdin.close()
                await peer.wait()

    async def check_directory(self, directory: Path) -> None:
        """Let a container write a file, which must arrive.

        An engine in another container, or on another machine, has another directory of this name,
        or none.
        """
        probe = directory / PROBE
        probe.mkdir()
        try:
            await docker(
                *("run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}"),
                *(*bind_mount(probe), *_labels(PROBE), self._image),
                *("fixture", "--games-dir", str(probe), "--id", PROBE, "--no-catalog"),
            )
            arrived = (probe / PROBE).is_dir()
            reason = "what a container writes there does not arrive"
        except BackendError as error:
            arrived, reason = False, "".join(error.evidence).partition("\n")[0]
        finally:
            shutil.rmtree(probe, ignore_errors=True)
        if not arrived:
            raise EnvironmentLackingError(
                f"the docker engine does not see {directory}: {reason}; name a directory that the "
                "engine has under the same path with --out"
            )

    async def sweep(self) -> None:
        """Remove containers and networks of this runner and of runners that died."""
        local = await engine_is_local()
        for owner in await _owners():
            if owner == runner_identity() or is_dead(owner, of_this_kernel=local):
                await _remove(f"{RUNNER_LABEL}={owner}")
        await _remove_shaper_links()
        for tag in await _tags(HELD):
            if is_dead(tag.removeprefix(HELD), of_this_kernel=local):
                await _untag(tag)

    async def close(self) -> None:
        """Give the image back."""
        await release_image()

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
        got = [] if refusal is None else refusal.evidence
        raise BackendError("a free network of 198.18.0.0/15 is left for the lab", got) from refusal


def bind_mount(path: Path) -> list[str]:
    """The option that gives a container a directory under its own path, whatever is in that."""
    quoted = str(path).replace('"', '""')
    return ["--mount", f'type=bind,"source={quoted}","target={quoted}"']


def find_process(arguments: Sequence[str]) -> int | None:
    """The process that was started with exactly these arguments, if it is found.

    They name directories of one run alone, so there is at most one such process. An engine on
    another machine, or in another namespace of processes, hides it.
    """
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_arguments(process, arguments):
            return int(process.name)
    return None


def signal_process(arguments: Sequence[str], number: signal.Signals) -> bool:
    """Send a signal to the process with exactly these arguments; whether it was found."""
    pid = find_process(arguments)
    if pid is None:
        return False
    with suppress(OSError), open_pidfd(pid) as descriptor:
        # Read anew: what the descriptor stands for cannot become another process.
        if _has_arguments(Path("/proc") / str(pid), arguments):
            signal.pidfd_send_signal(descriptor, number)
            return True
    return False


def _has_arguments(process: Path, arguments: Sequence[str]) -> bool:
    with suppress(OSError):
        command_line = (process / "cmdline").read_bytes().split(b"\0")
        return command_line[1:-1] == [os.fsencode(argument) for argument in arguments]
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


async def engine_is_local() -> bool:
    """Whether the engine runs on this kernel: what reached it then came from here."""
    host = await docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return host.startswith("unix://")


async def held_image(digest: str) -> str | None:
    """The id of an image of the binary with this SHA-256, `None` where there is none.

    It has a tag of this runner's, so that others who build and prune leave it here.
    """
    label = f"label={BINARY_LABEL}={digest}"
    found = await docker("image", "ls", "--quiet", "--no-trunc", "--filter", label)
    for image in dict.fromkeys(found.split()):
        try:
            await docker("tag", image, f"{IMAGE}:{own_tag()}")
            labels = await docker("image", "inspect", "--format", LABELS_FORMAT, image)
        except BackendError:
            # Another runner has pruned it meanwhile.
            continue
        if (json.loads(labels) or {}).get(BINARY_LABEL) == digest:
            return image
    return None


async def release_image() -> None:
    """Let others prune the image that `held_image` gave."""
    await _untag(own_tag())


def own_tag() -> str:
    """The tag of the image that this runner uses."""
    return f"{HELD}{runner_identity()}"


async def _tags(prefix: str) -> list[str]:
    listed = await docker("image", "ls", "--format", "{{.Tag}}", IMAGE)
    return [tag for tag in listed.split() if tag.startswith(prefix)]


async def _untag(tag: str) -> None:
    try:
        await docker("image", "rm", f"{IMAGE}:{tag}")
    except BackendError as error:
        if not any("No such image" in line for line in error.evidence):
            raise


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


async def _remove_shaper_links() -> None:
    """Remove the veth pairs of link shapers; those of containers are in the host's namespace."""
    if lacking_for_links() is not None:
        return
    for link in json.loads(await tool("ip", "-json", "link", "show")):
        if is_doomed(link.get("ifalias", "")):
            try:
                await tool("ip", "link", "delete", link["ifname"])
            except BackendError as error:
                # Another runner may have removed it meanwhile.
                if not any("Cannot find device" in line for line in error.evidence):
                    raise


async def _remove(label: str) -> None:
    """Remove what has a label; another runner may do so at the same time."""
    for _ in range(REMOVE_ATTEMPTS):
        try:
            await _remove_at_once(label)
        except BackendError as error:
            refusal = error
            await asyncio.sleep(REMOVE_PAUSE_S)
        else:
            return
    raise refusal


async def _remove_at_once(label: str) -> None:
    containers = (await docker("ps", "--all", "--quiet", "--filter", f"label={label}")).split()
    if containers:
        await docker("rm", "--force", "--volumes", *containers)
    networks = (await docker("network", "ls", "--quiet", "--filter", f"label={label}")).split()
    if networks:
        await docker("network", "rm", *networks)
