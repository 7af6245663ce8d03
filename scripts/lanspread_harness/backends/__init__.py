"""Where peers run: what every backend offers, and what the shared parts of them are.

A `Backend` lives as long as the run. It opens one `LabHost` for each scenario, which starts that
scenario's peers as `PeerProcess` and takes everything away again when it closes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, cast

from lanspread_harness.orphan_cleanup import marked_environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

HOSTILE_PROGRAM = "lanspread-hostile"
"""What attacks peers. It is looked for beside the binary of the peer."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line read from a peer: a manifest answer of 16 MiB, escaped, with room to spare."""


class Need(StrEnum):
    """What a scenario asks of its backend beyond starting peers."""

    MDNS = "mdns"
    LINKS = "links"
    """A link of its own for each peer, which can be cut and shaped."""
    NAMESPACES = "namespaces"
    """A network namespace for each peer, which outlives the peer's process."""
    DISKS = "disks"
    """A disk of its own for a peer, which can run full."""
    EXFAT = "exfat"
    """A games directory on exFAT, through FUSE."""
    PERMISSIONS = "permissions"
    """File modes that hold for peers, as they do not for root."""
    PROGRAMS = "programs"
    """Programs of the machine, such as a shell, where peers run."""
    HOSTILE = "hostile"
    """The program `lanspread-hostile`, where peers run."""


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: with a code, or by a signal."""

    code: int | None
    signal: int | None

    @classmethod
    def of_process(cls, returncode: int) -> ExitStatus:
        """From a return code in the manner of `subprocess`: negative for a signal."""
        return cls(None, -returncode) if returncode < 0 else cls(returncode, None)

    @classmethod
    def of_container(cls, returncode: int) -> ExitStatus:
        """From the status of a container: 128 and the number for a signal.

        Below 0 it is not the container's, but that of the command that was attached to it.
        """
        if returncode < 0:
            return cls.of_process(returncode)
        return cls(None, returncode - 128) if returncode > 128 else cls(returncode, None)

    @property
    def is_success(self) -> bool:
        """Whether it is status 0."""
        return self.code == 0

    @property
    def is_kill(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self.signal == signal.SIGKILL

    def __str__(self) -> str:
        if self.signal is None:
            return f"status {self.code}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a peer hangs on its lab's switch, in names of the kernel."""

    peer_namespace: Path
    """The file of the network namespace that the peer lives in."""
    interface: str
    """The peer's end of its veth pair."""
    switch_namespace: Path
    """The file of the network namespace that has the bridge."""
    bridge: str
    port: str
    """The switch's end of the pair."""
    address: str


class PeerProcess(Protocol):
    """One started peer."""

    @property
    def command_line(self) -> Sequence[str]:
        """What was run, for the history."""
        ...

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """The peer's commands."""
        ...

    @property
    def stdout(self) -> asyncio.StreamReader:
        """The peer's records."""
        ...

    def pid(self) -> int | None:
        """The process of the peer itself; `None` where it cannot be seen from here."""
        ...

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the peer is gone already."""
        ...

    async def wait(self) -> ExitStatus:
        """Wait for the end."""
        ...

    def pause_output(self) -> None:
        """Read no more of its standard output, so that it fills up."""
        ...

    def resume_output(self) -> None:
        """Read on."""
        ...


class LabHost(Protocol):
    """What one lab has of its backend."""

    def listen_address(self, peer: str) -> str:
        """What a peer passes to `--listen`."""
        ...

    def mdns_interface(self) -> str:
        """What peers that use mDNS pass to `--mdns-interface`."""
        ...

    def uses_arp(self) -> bool:
        """Whether peers find each other's hardware addresses by ARP, whose table has a limit."""
        ...

    def reachable(self, peer: str, listen_addr: str) -> str:
        """Where other peers reach one that says it listens on `listen_addr`."""
        ...

    async def start(
        self, peer: str, run: int, arguments: Sequence[str], stderr: Path
    ) -> PeerProcess:
        """Start the peer's `run`th process, its standard error going to the end of a file."""
        ...

    async def start_hostile(self, name: str, arguments: Sequence[str], stderr: Path) -> PeerProcess:
        """Start `lanspread-hostile` where a peer of this name would run. Needs `Need.HOSTILE`."""
        ...

    async def attachment(self, peer: str) -> Attachment:
        """Where the peer hangs on the switch; raises `BackendError` where there is none."""
        ...

    async def udp_socket(self, peer: str) -> socket.socket:
        """A socket of the runner's that reaches the lab's peers, from beside this one."""
        ...


class Backend(Protocol):
    """One way of running peers."""

    @property
    def name(self) -> str:
        """What `--backend` calls it."""
        ...

    def unsupported(self, needs: frozenset[Need]) -> str | None:
        """Why a scenario with these needs cannot run here, or `None`."""
        ...

    def open(self, lab_id: str, directory: Path) -> AbstractAsyncContextManager[LabHost]:
        """A host for one lab, whose peers may use everything below `directory`."""
        ...

    async def check_directory(self, directory: Path) -> None:
        """Raise `EnvironmentLackingError` where peers do not see what is in a directory."""
        ...

    async def sweep(self) -> None:
        """Take away what runs that died left behind, and what this one may still have."""
        ...

    async def close(self) -> None:
        """Give back what it held for all of its labs. No lab can be opened afterwards."""
        ...


def hostile_beside(binary: Path) -> Path:
    """Where the program that attacks peers is looked for."""
    return binary.with_name(HOSTILE_PROGRAM)


def lacking_hostile(binary: Path) -> str | None:
    """Why nobody can attack the peers of this binary, or `None`."""
    program = hostile_beside(binary)
    if program.is_file() and os.access(program, os.X_OK):
        return None
    return f"there is no {HOSTILE_PROGRAM} beside {binary}"


class PipedProcess:
    """A local process with piped input and output: a peer itself, or what stands for one."""

    def __init__(self, process: asyncio.subprocess.Process, command_line: Sequence[str]) -> None:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the process has no pipes")
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.command_line = tuple(command_line)
        self.process = process

    def pause_output(self) -> None:
        """Read no more of its standard output, so that it fills up."""
        self._output().pause_reading()

    def resume_output(self) -> None:
        """Read on."""
        self._output().resume_reading()

    def _output(self) -> asyncio.ReadTransport:
        # A stream that is merely not read is gathered in memory without an end.
        transport = cast("Any", self.process)._transport  # noqa: SLF001
        return cast("asyncio.ReadTransport", transport.get_pipe_transport(1))

    @staticmethod
    async def spawn(command_line: Sequence[str], stderr: Path) -> asyncio.subprocess.Process:
        """Start a command in a session of its own, out of reach of the terminal's Ctrl-C."""
        with stderr.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command_line,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=marked_environment(),
                limit=MAX_LINE_BYTES,
            )
