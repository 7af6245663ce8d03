"""Processes with their exact costs: CPU time and peak resident memory, children included.

The event loop learns of an end by a pidfd and reaps with `wait4`, because the process support of
asyncio throws the resource usage away.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

LINE_MAX_BYTES = 64 * 1024 * 1024
"""Longest line that is read: a manifest of 20,000 files."""

WATCH_INTERVAL_S = 0.05
"""How often the peak of resident memory is read; the kernel keeps it, so only a rise in the last
interval of a process that ends by itself is missed."""

START_TIMEOUT_S = 60.0
"""For what a server says when it is ready: also a torrent of 1 GiB that is hashed first."""

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What an end of a transfer has cost."""

    cpu_s: float
    peak_rss_bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu_s + other.cpu_s, self.peak_rss_bytes + other.peak_rss_bytes)

    def since(self, earlier: Cost) -> Cost:
        """The CPU time after `earlier`; memory has no before."""
        return Cost(self.cpu_s - earlier.cpu_s, self.peak_rss_bytes)


class Process:
    """One started program."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._pidfd = os.pidfd_open(process.pid)
        self._ended = asyncio.Event()
        self._peaks: dict[int, int] = {}
        self._final_cpu_s = 0.0
        self._output: asyncio.StreamReader | None = None
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    async def start(
        cls, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program that dies with this one; its standard error goes to `log`."""
        popen = _spawn(command, log, environment or {})
        process = cls(popen, log)
        output = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        protocol = asyncio.StreamReaderProtocol(output)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, popen.stdout)
        process._output = output
        return process

    async def line(self, timeout_s: float | None = START_TIMEOUT_S) -> str:
        """The next line of output."""
        if self._output is None:
            raise BenchError("the process has no output")
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._output.readline()
        except TimeoutError as error:
            raise BenchError(f"{self._name()} says nothing: {self._last_words()}") from error
        if not line:
            raise BenchError(f"{self._name()} ended: {self._last_words()}")
        return line.decode("utf-8", "replace").rstrip("\n")

    def write(self, line: str) -> None:
        """Write a line to its input."""
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    async def succeeded(self) -> None:
        """Wait for its end, which must be a good one."""
        await self._ended.wait()
        if self._process.returncode != 0:
            status = self._process.returncode
            raise BenchError(f"{self._name()} ended with {status}: {self._last_words()}")

    async def stop(self) -> None:
        """Kill it and everything that it started."""
        if not self._ended.is_set():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._ended.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def cost(self) -> Cost:
        """What it and its children have cost until now, or until their end."""
        self.look()
        running = not self._ended.is_set()
        cpu_s = sum(map(_cpu_s, _tree(self._process.pid))) if running else self._final_cpu_s
        return Cost(cpu_s, sum(self._peaks.values()))

    def look(self) -> None:
        """Read the peaks of memory of the whole tree."""
        if not self._ended.is_set():
            for pid in _tree(self._process.pid):
                self._peaks[pid] = max(self._peaks.get(pid, 0), _peak_rss_bytes(pid))

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._final_cpu_s = usage.ru_utime + usage.ru_stime
        self._ended.set()

    def _name(self) -> str:
        return self._log.stem

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it printed nothing"


class Processes:
    """All processes of one transfer, watched for their memory, gone at its end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: list[Process] = []

    async def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program whose log is called `name`."""
        process = await Process.start(command, self._logs / f"{name}.log", environment)
        self._started.append(process)
        return process

    async def watch(self) -> None:
        """Read peaks of memory until cancelled."""
        while True:
            for process in self._started:
                process.look()
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def stop(self) -> None:
        """End all of them."""
        for process in self._started:
            await process.stop()


@asynccontextmanager
async def processes(logs: Path) -> AsyncIterator[Processes]:
    """Processes that are all gone when this closes."""
    logs.mkdir(parents=True, exist_ok=True)
    started = Processes(logs)
    watch = asyncio.create_task(started.watch())
    try:
        yield started
    finally:
        watch.cancel()
        await started.stop()


def _spawn(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with log.open("ab") as errors:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **environment},
            # Out of reach of the terminal's Ctrl-C, which this program handles for all.
            start_new_session=True,
        )


def _tree(root: int) -> list[int]:
    """A process and all its descendants that live."""
    found = [root]
    for pid in found:
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
            found += map(int, children.split())
    return found


def _cpu_s(pid: int) -> float:
    """CPU time of a process and of its children that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    # Fields 14 to 17 of proc(5): utime, stime, cutime, cstime. The first one here is the third.
    return sum(map(int, fields[11:15])) / CLOCK_TICKS_PER_S


def _peak_rss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
