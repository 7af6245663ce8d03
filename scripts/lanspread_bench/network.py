"""Hosts in network namespaces: two on a cable, or several around a switch with shaped ports.

A namespace is held by a process that waits for its input to end, so that nothing is left behind
however the benchmark dies: no names, no files, no sweeping. Addresses come from 198.18.0.0/15.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lanspread_bench.commands import run
from lanspread_bench.errors import BenchError, LackingError
from lanspread_harness.system_programs import SYSTEM_DIRECTORIES, find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEVICE = "eth0"
"""What every host calls its one interface."""

SHAPER_LATENCY_MS = 25
"""Longest wait in the queue of a shaped port: what a small switch buffers."""

SHAPER_BURST_MS = 4
"""What a port may send at once: above the timer of any kernel, or it does not reach its rate."""

SHAPER_BURST_MIN_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a host sends and receives, in Mbit/s; `None` is as fast as the machine goes."""

    up_mbit: int | None = None
    down_mbit: int | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """Where the cable of a host ends at the switch."""

    name: str
    holder: int
    """Of the namespace of the switch."""

    def command(self, *command: str) -> list[str]:
        """A command line that runs `command` at the switch, as the same process."""
        return ["nsenter", f"--net=/proc/{self.holder}/ns/net", "--", *command]


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace with an address."""

    name: str
    address: str
    holder: int
    port: Port | None = None
    """`None` at the end of a cable that has another host at its other one."""
    rate: Rate = field(default_factory=Rate)

    @property
    def hardware_address(self) -> str:
        """Locally administered, and made from the address."""
        return ":".join(["02", "00", *(f"{int(part):02x}" for part in self.address.split("."))])

    def command(self, *command: str) -> list[str]:
        """A command line that runs `command` on this host, as the same process."""
        return ["nsenter", f"--net=/proc/{self.holder}/ns/net", "--", *command]

    def bytes_sent(self) -> int:
        """Bytes that left this host so far, headers included."""
        return self._counted("tx")

    def bytes_received(self) -> int:
        """Bytes that came to this host so far, headers included."""
        return self._counted("rx")

    def black_hole(self) -> None:
        """Let the switch drop what comes from this host or goes to it. Its cable looks well."""
        self._forward("disabled")

    def slow_down(self, parts: int) -> None:
        """Cut what this host sends to one of so many parts; what its queue holds is as slow."""
        if self.rate.up_mbit is None:
            raise BenchError(f"{self.name} has no rate that could be cut")
        run(self.command(*_shaper(DEVICE, self.rate.up_mbit * 1000 // parts)))

    def recover(self) -> None:
        """Bring the cable back to what it was made as."""
        self._forward("forwarding")
        if self.rate.up_mbit is not None:
            self.slow_down(1)

    def _forward(self, state: str) -> None:
        if self.port is None:
            raise BenchError(f"{self.name} is not at a switch")
        port = self.port
        run(port.command("bridge", "link", "set", "dev", port.name, "state", state))

    def _counted(self, direction: str) -> int:
        shown = run(self.command("ip", "-json", "-statistics", "link", "show", "dev", DEVICE))
        return int(json.loads(shown)[0]["stats64"][direction]["bytes"])


def require() -> None:
    """Make sure that namespaces can be made here."""
    for program in ("ip", "tc", "bridge", "unshare", "nsenter", "setpriv"):
        if find_program(program) is None:
            places = ", ".join(("PATH", *SYSTEM_DIRECTORIES))
            needed = "packages iproute2 and util-linux"
            raise LackingError(f"{program} is not installed ({needed}); looked in {places}")
    if os.geteuid() != 0:
        raise LackingError("network namespaces need root")


@contextmanager
def cable(mtu: int) -> Iterator[tuple[Host, Host]]:
    """Two hosts that share a cable."""
    with ExitStack() as stack:
        left, right = (
            Host(name, f"198.18.0.{number}", stack.enter_context(_namespace()))
            for number, name in enumerate(("source", "receiver"), 1)
        )
        run(
            [
                *("ip", "link", "add", DEVICE, "netns", str(left.holder), "mtu", str(mtu)),
                *("type", "veth", "peer", "name", DEVICE),
                *("netns", str(right.holder), "mtu", str(mtu)),
            ]
        )
        _address([left, right])
        yield left, right


@contextmanager
def switch(rates: Sequence[Rate], mtu: int) -> Iterator[list[Host]]:
    """Hosts around a switch, each with the rate of its place in `rates`."""
    with ExitStack() as stack:
        inside = stack.enter_context(_namespace())
        at_switch = ["nsenter", f"--net=/proc/{inside}/ns/net", "--"]
        run([*at_switch, "ip", "link", "add", "bridge", "mtu", str(mtu), "type", "bridge"])
        run([*at_switch, "ip", "link", "set", "bridge", "up"])
        hosts = []
        for number, rate in enumerate(rates, 1):
            port = Port(f"port{number}", inside)
            holder = stack.enter_context(_namespace())
            host = Host(f"host{number}", f"198.18.0.{number}", holder, port, rate)
            run(
                [
                    *("ip", "link", "add", DEVICE, "netns", str(host.holder), "mtu", str(mtu)),
                    *("type", "veth", "peer", "name", port.name),
                    *("netns", str(inside), "mtu", str(mtu)),
                ]
            )
            run(port.command("ip", "link", "set", port.name, "master", "bridge", "up"))
            if rate.up_mbit is not None:
                run(host.command(*_shaper(DEVICE, rate.up_mbit * 1000)))
            if rate.down_mbit is not None:
                run(port.command(*_shaper(port.name, rate.down_mbit * 1000)))
            hosts.append(host)
        _address(hosts)
        yield hosts


def _shaper(device: str, kbit: int) -> list[str]:
    burst = max(SHAPER_BURST_MIN_BYTES, kbit * SHAPER_BURST_MS // 8)
    return [
        *("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", f"{kbit}kbit"),
        *("burst", f"{burst}b", "latency", f"{SHAPER_LATENCY_MS}ms"),
    ]


def _address(hosts: Sequence[Host]) -> None:
    """Give the hosts their addresses, and let them know each other.

    Neighbours are entered for good, because the table of learned ones is shared by all namespaces
    of the machine: when another program fills it, nobody here would find anybody.
    """
    for host in hosts:
        others = (
            f"ip neighbour replace {other.address} lladdr {other.hardware_address} dev {DEVICE}"
            for other in hosts
            if other is not host
        )
        script = [
            f"ip link set {DEVICE} address {host.hardware_address}",
            f"ip address add {host.address}/24 dev {DEVICE}",
            f"ip link set {DEVICE} up",
            *others,
        ]
        run(host.command("sh", "-e", "-c", "\n".join(script)))


@contextmanager
def _namespace() -> Iterator[int]:
    """The process that holds a new namespace in which loopback is up."""
    script = "ip link set lo up && echo held && read -r _"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as holder:
        try:
            said = holder.stdout.readline() if holder.stdout else b""
            if said != b"held\n":
                reason = holder.stderr.read().decode().strip() if holder.stderr else ""
                raise LackingError(f"a network namespace cannot be made: {reason}")
            yield holder.pid
        finally:
            holder.kill()
