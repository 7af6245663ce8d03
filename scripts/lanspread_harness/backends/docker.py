"""Peers as containers on a bridge of their own, through the `docker` command.

Every container and network carries two labels: `lanspread.lab` names the lab it belongs to and
`lanspread.runner` the process that made it (boot, pid and start time, so that a reused pid is not
taken for it). Sweeping removes what belongs to this runner or to one that no longer lives, and
leaves the labs of other living runners alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lanspread_harness.backends import ExitStatus, Need, PipedProcess
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.identity import is_alive, runner_identity

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

IMAGE = "lanspread-peer-cli"
BINARY_LABEL = "lanspread.binary"
LAB_LABEL = "lanspread.lab"
RUNNER_LABEL = "lanspread.runner"

SUBNETS = [f"198.{second}.{third}" for second in (18, 19) for third in range(256)]
"""The /24 networks of 198.18.0.0/15, which is set aside for benchmarks and never routed."""

SUBNET_ATTEMPTS = 16
"""Other labs and runners take from the same 512; this many collisions in a row mean a leak."""

FIRST_HOST = 10
"""Below it are the bridge's own address and room for tools."""

GONE = ("is not running", "No such container", "no such container")
"""What the engine says of a container that ended before the command reached it."""


async def docker(*arguments: str) -> str:
    """Run one docker command and return what it printed; failure raises `BackendError`."""
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    if process.returncode != 0:
        reason = stderr.decode("utf-8", "replace").strip()
        raise BackendError(f"docker {' '.join(arguments)} works", [reason])
    return stdout.decode()


class ContainerPeer(PipedProcess):
    """A peer in a container; the local process is the `docker run` that is attached to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, command_line: Sequence[str], container: str
    ) -> None:
        super().__init__(process, command_line)
        self._container = container

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the peer, which is the container's first process."""
        try:
            await docker("kill", "--signal", number.name, self._container)
        except BackendError as error:
            if not any(text in line for line in error.evidence for text in GONE):
                raise

    async def wait(self) -> ExitStatus:
        """Wait for the end."""
        return ExitStatus.of_container(await self.process.wait())


class DockerHost:
    """The containers of one lab."""

    def __init__(
        self, lab_id: str, subnet: str, directory: Path, attached: list[ContainerPeer]
    ) -> None:
        self._lab_id = lab_id
        self._subnet = subnet
        self._directory = directory
        self._addresses: dict[str, str] = {}
        self._attached = attached

    def listen_address(self) -> str:
        """Any address of the container, any port."""
        return "0.0.0.0:0"

    def mdns_interface(self) -> str:
        """A container has its bridge and nothing else."""
        return "all"

    def reachable(self, peer: str, listen_addr: str) -> str:
        """The container's address on the bridge with the port it listens on."""
        _, _, port = listen_addr.rpartition(":")
        return f"{self._addresses[peer]}:{port}"

    async def start(
        self, peer: str, run: int, arguments: Sequence[str], stderr: Path
    ) -> ContainerPeer:
        """Start a container; a peer keeps its address over restarts."""
        address = self._addresses.setdefault(
            peer, f"{self._subnet}.{FIRST_HOST + len(self._addresses)}"
        )
        container = f"{self._lab_id}-{peer}-{run}"
        command_line = [
            *("docker", "run", "--interactive", "--name", container, "--hostname", peer),
            *("--network", self._lab_id, "--ip", address, "--log-driver", "none"),
            *("--user", f"{os.getuid()}:{os.getgid()}"),
            # The same path inside and outside, so that a record's paths mean the same to both.
            *("--volume", f"{self._directory}:{self._directory}"),
            *_labels(self._lab_id),
            *(IMAGE, *arguments),
        ]
        process = await PipedProcess.spawn(command_line, stderr)
        started = ContainerPeer(process, command_line, container)
        self._attached.append(started)
        return started


class DockerBackend:
    """Runs peers in containers of the image `lanspread-peer-cli`."""

    name = "docker"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed} {os.getpid()}")

    def unsupported(self, needs: frozenset[Need]) -> str | None:  # noqa: ARG002
        """A bridge carries everything that scenarios ask for so far."""
        return None

    @asynccontextmanager
    async def open(self, lab_id: str, directory: Path) -> AsyncIterator[DockerHost]:
        """A host with a bridge of its own; bridge and containers go when it closes."""
        attached: list[ContainerPeer] = []
        try:
            subnet = await self._create_network(lab_id)
            yield DockerHost(lab_id, subnet, directory, attached)
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

    async def _create_network(self, lab_id: str) -> str:
        refusal: BackendError | None = None
        for subnet in self._random.sample(SUBNETS, SUBNET_ATTEMPTS):
            try:
                await docker(
                    *("network", "create", "--driver", "bridge", "--subnet", f"{subnet}.0/24"),
                    *(*_labels(lab_id), lab_id),
                )
            except BackendError as error:
                if not any("overlap" in line for line in error.evidence):
                    raise
                refusal = error
            else:
                return subnet
        raise BackendError("a free network of 198.18.0.0/15 is left for the lab") from refusal


async def check_engine() -> None:
    """Raise `EnvironmentLackingError` unless a docker engine answers."""
    try:
        await docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError as error:
        raise EnvironmentLackingError("the docker command is not installed") from error
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


async def _remove(label: str) -> None:
    containers = (await docker("ps", "--all", "--quiet", "--filter", f"label={label}")).split()
    if containers:
        await docker("rm", "--force", "--volumes", *containers)
    networks = (await docker("network", "ls", "--quiet", "--filter", f"label={label}")).split()
    if networks:
        await docker("network", "rm", *networks)
