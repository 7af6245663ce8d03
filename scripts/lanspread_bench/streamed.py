"""What a streamed installation costs, against what it is made of.

One source on a cable with one receiver. In each round everything is done once, with new processes:
`download` fetches the archives and installs nothing, `unpack` installs at the source, `transfer`
fetches a game of as many bytes as are installed, in one file, and `stream` installs at the receiver
what the source unpacks, after which both installations are compared.

A stream does at once what `unpack` and `transfer` do alone, as it moves what is unpacked; who would
not stream downloads and unpacks. What the receiver's disk holds at most is looked for in a stream
of its own that nobody times: to look takes time of the processors that are measured.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import statistics
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lanspread_bench import network
from lanspread_bench.arena import TRANSFER_TIMEOUT_S
from lanspread_bench.commands import run
from lanspread_bench.contents import differs, read_all, size_of
from lanspread_bench.contestants.lanspread import hashed, start_peer
from lanspread_bench.errors import BenchError
from lanspread_bench.figures import MIB, JsonObject, markdown
from lanspread_bench.processes import Cost, processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from lanspread_bench.contestants.lanspread import Peer
    from lanspread_bench.network import Host
    from lanspread_bench.processes import Processes

SUITE = "stream"
GAME = "streamed"
PLAIN = "plain"
"""What is transferred: it has as many bytes as `GAME` has when it is installed."""

STEPS = ("download", "unpack", "transfer", "stream")

DISK_POLL_S = 0.05
"""Between two looks at what the receiver holds."""

BLOCK_BYTES = 4096
MADE_MIB = 256
MADE_SMALL_FILES = 500
"""What is packed where no archive is given: big enough for a second or more of each step."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and where."""

    binary: Path
    directory: Path
    archive: Path | None
    """The RAR archive of the game; one is made where there is none."""
    unrar: Path | None
    """What unpacks at the source; in its process where there is none."""
    mtu: int
    rounds: int

    def games(self, game: str) -> Path:
        """The games directory of the source of a game: it holds nothing else."""
        return self.directory / game / "games"

    def received(self) -> Path:
        """The games directory of the receiver, empty before each step."""
        return self.directory / "receiver" / "games"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done once."""

    seconds: float
    source: Cost
    receiver: Cost


@dataclass(slots=True)
class Streamed:
    """All steps of all rounds."""

    conditions: str
    archive_bytes: int
    installed_bytes: int
    disk_peak_bytes: int
    """Most that the receiver's directory held during a stream."""
    steps: dict[str, list[Step]] = field(default_factory=lambda: {name: [] for name in STEPS})

    def over_download_or_unpack(self) -> list[float]:
        """Time of a stream, in each round, as a multiple of the longer of its halves."""
        rounds = zip(*(self.steps[name] for name in ("download", "unpack", "stream")), strict=True)
        return [s.seconds / max(d.seconds, u.seconds) for d, u, s in rounds]

    def over_transfer_or_unpack(self) -> list[float]:
        """The same for what a stream does at once: unpack, and move as much as is unpacked."""
        return [s.seconds / max(t.seconds, u.seconds) for t, u, s in self._at_once()]

    def cpu_ratios(self) -> list[float]:
        """CPU time of the source of a stream as a multiple of that of unpacking and sending."""
        return [s.source.cpu_s / (u.source.cpu_s + t.source.cpu_s) for t, u, s in self._at_once()]

    def disk_ratio(self) -> float:
        """Peak disk of the receiver of a stream as a multiple of what is installed."""
        return self.disk_peak_bytes / self.installed_bytes

    def _at_once(self) -> Iterator[tuple[Step, ...]]:
        return zip(*(self.steps[name] for name in ("transfer", "unpack", "stream")), strict=True)


def measure(setting: Setting) -> Streamed:
    """Do everything `rounds` times."""
    setting.directory.mkdir(parents=True)
    said = _make_game(setting)
    unpacked = f"unpacked by {setting.unrar.name}" if setting.unrar else "unpacked in process"
    with network.cable(setting.mtu) as hosts:
        installed_bytes, disk_peak_bytes = asyncio.run(_untimed(setting, hosts))
        run([*_fixture(setting, PLAIN), "--sized", str(installed_bytes)])
        result = Streamed(
            f"{said}, {unpacked}; one source, one receiver, a cable of MTU {setting.mtu}",
            size_of(setting.games(GAME) / GAME),
            installed_bytes,
            disk_peak_bytes,
        )
        for number in range(setting.rounds):
            first = number % len(STEPS)
            for name in [*STEPS[first:], *STEPS[:first]]:
                step = asyncio.run(_step(name, setting, hosts))
                result.steps[name].append(step)
                print(
                    f"{SUITE} {number + 1}: {name}: {step.seconds:.2f} s, CPU "
                    f"{step.source.cpu_s:.2f} s and {step.receiver.cpu_s:.2f} s",
                    file=sys.stderr,
                    flush=True,
                )
    return result


async def _untimed(setting: Setting, hosts: tuple[Host, Host]) -> tuple[int, int]:
    """Bytes that are installed, and the most that the receiver of a stream holds of the disk."""
    async with _pair(setting, hosts, GAME) as (source, receiver):
        async with _disk_peak(setting.received().parent) as peak:
            await _do("stream", source, receiver)
        return await _verify(setting, source, receiver), peak.bytes


async def _step(name: str, setting: Setting, hosts: tuple[Host, Host]) -> Step:
    game = PLAIN if name == "transfer" else GAME
    async with _pair(setting, hosts, game) as (source, receiver):
        # Whatever was written before must not be written back meanwhile.
        os.sync()
        before = source.process.cost(), receiver.process.cost()
        began = time.monotonic()
        await _do(name, source, receiver)
        seconds = time.monotonic() - began
        cost = source.process.cost().since(before[0]), receiver.process.cost().since(before[1])
        match name:
            case "unpack":
                await source.command("uninstall", game_id=GAME, wait=True)
            case "stream":
                await _verify(setting, source, receiver)
    return Step(seconds, *cost)


@asynccontextmanager
async def _pair(
    setting: Setting, hosts: tuple[Host, Host], game: str
) -> AsyncIterator[tuple[Peer, Peer]]:
    """A source of a game, and a receiver that has nothing, and leaves nothing at the end."""
    read_all(setting.games(game) / game)
    try:
        async with processes(setting.directory / "logs") as started:
            source = await _start(setting, started, hosts[0], setting.games(game))
            receiver = await _start(setting, started, hosts[1], setting.received())
            await hashed(source, game)
            await receiver.command("connect", addr=source.addr)
            yield source, receiver
    finally:
        shutil.rmtree(setting.received().parent, ignore_errors=True)


async def _do(name: str, source: Peer, receiver: Peer) -> None:
    try:
        async with asyncio.timeout(TRANSFER_TIMEOUT_S):
            match name:
                case "download":
                    await receiver.download(GAME)
                case "unpack":
                    await source.command("install", game_id=GAME, wait=True)
                case "transfer":
                    await receiver.download(PLAIN)
                case _:
                    await receiver.command("stream-install", game_id=GAME, wait=True)
    except TimeoutError as error:
        raise BenchError(f"{name}: not done after {TRANSFER_TIMEOUT_S:.0f} s") from error


async def _verify(setting: Setting, source: Peer, receiver: Peer) -> int:
    """Compare what was streamed with what the source unpacks for itself; how many bytes that is."""
    await _do("unpack", source, receiver)
    unpacked = setting.games(GAME) / GAME / "local"
    if difference := differs(unpacked, setting.received() / GAME / "local"):
        raise BenchError(f"what was streamed is wrong: {difference}")
    installed_bytes = size_of(unpacked)
    await source.command("uninstall", game_id=GAME, wait=True)
    return installed_bytes


async def _start(setting: Setting, started: Processes, host: Host, games: Path) -> Peer:
    # The index of the source outlives the step, so that it hashes once.
    disk = (games, games.with_name("state"), setting.directory / "catalog.json")
    unrar = () if setting.unrar is None else ("--unrar", str(setting.unrar))
    return await start_peer(started, SUITE, host, setting.binary, *disk, unrar)


@dataclass(slots=True)
class _Peak:
    bytes: int = 0


@asynccontextmanager
async def _disk_peak(directory: Path) -> AsyncIterator[_Peak]:
    """The most that a directory holds while this is open: what its files take of the disk."""
    peak = _Peak()

    async def watch() -> None:
        while True:
            peak.bytes = max(peak.bytes, _held_bytes(directory))
            await asyncio.sleep(DISK_POLL_S)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()
        peak.bytes = max(peak.bytes, _held_bytes(directory))


def _held_bytes(directory: Path) -> int:
    held = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                held += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118
            except FileNotFoundError:
                # It was moved or removed while its directory was read.
                continue
    return held


def _fixture(setting: Setting, game: str) -> list[str]:
    return [
        *(str(setting.binary), "fixture", "--games-dir", str(setting.games(game)), "--id", game),
        *("--catalog", str(setting.directory / "catalog.json")),
    ]


def _make_game(setting: Setting) -> str:
    """Make the game that is streamed; what it is, in words."""
    fixture = _fixture(setting, GAME)
    rar = shutil.which("rar")
    if setting.archive is None and rar is None:
        run([*fixture, "--archive", "rar", "--entry", f"pak0.pk3={MADE_MIB}MiB"])
        return f"a RAR archive of {MADE_MIB} MiB that stores without compressing"
    # An archive as small as can be, in whose place the real one comes.
    run([*fixture, "--archive", "rar", "--entry", "a=1"])
    archive = setting.games(GAME) / GAME / f"{GAME}.eti"
    archive.unlink()
    if setting.archive is not None:
        shutil.copyfile(setting.archive, archive)
        return f"{setting.archive.name} of {archive.stat().st_size / MIB:.0f} MiB"
    made_files = setting.directory / "packed"
    _make_content(made_files)
    run([str(rar), "a", "-idq", "-r", "-s", "-m3", "-ep1", str(archive), f"{made_files}/"])
    shutil.rmtree(made_files)
    size = archive.stat().st_size / MIB
    return f"a solid RAR archive of {MADE_MIB} MiB and small files, compressed to {size:.0f} MiB"


def _make_content(directory: Path) -> None:
    """Files that compress to about a third, by long matches, by letters, and not at all."""
    rng = random.Random(7)
    pool = [rng.randbytes(BLOCK_BYTES) for _ in range(2048)]
    words = [bytes(rng.choices(range(97, 123), k=rng.randint(2, 9))) for _ in range(2000)]
    texts = [b" ".join(rng.choices(words, k=900))[:BLOCK_BYTES] for _ in range(512)]

    def block() -> bytes:
        kind = rng.random()
        if kind < 0.6:
            changed = bytearray(rng.choice(pool))
            for _ in range(16):
                changed[rng.randrange(BLOCK_BYTES)] = rng.randrange(256)
            return bytes(changed)
        if kind < 0.85:
            cut = rng.randrange(1, BLOCK_BYTES)
            return rng.choice(texts)[cut:] + rng.choice(texts)[:cut]
        return rng.randbytes(BLOCK_BYTES)

    directory.mkdir()
    with (directory / "pak0.pk3").open("wb") as large:
        for _ in range(MADE_MIB * MIB // BLOCK_BYTES):
            large.write(block())
    small = directory / "small files"
    small.mkdir()
    for number in range(MADE_SMALL_FILES):
        content = b"".join(block() for _ in range(rng.randint(1, 14)))
        (small / f"tile {number}.tga").write_bytes(content)


HEADINGS = (
    "step",
    "s",
    "CPU s src",
    "rcv",
    "RSS MiB src",
    "rcv",
)


def table(result: Streamed) -> str:
    """A table in Markdown: medians over the rounds, and the ratios below it."""
    rows = [list(HEADINGS)]
    for name in STEPS:
        of = _medians(result.steps[name])
        rows.append(
            [
                name,
                f"{of['seconds']:.2f}",
                f"{of['source_cpu_s']:.2f}",
                f"{of['receiver_cpu_s']:.2f}",
                f"{of['source_peak_rss_mib']:.0f}",
                f"{of['receiver_peak_rss_mib']:.0f}",
            ]
        )
    installed = result.installed_bytes / MIB
    halves = statistics.median(result.over_download_or_unpack())
    at_once = statistics.median(result.over_transfer_or_unpack())
    cpu = statistics.median(result.cpu_ratios())
    return "\n".join(
        [
            f"{SUITE}: {result.conditions}; {installed:.0f} MiB installed",
            "",
            *markdown(rows),
            "",
            f"time of a stream: {halves:.2f} x the longer of download and unpack",
            f"time of a stream: {at_once:.2f} x the longer of transfer and unpack",
            f"CPU of its source: {cpu:.2f} x unpack and transfer",
            f"peak disk of its receiver: {result.disk_ratio():.3f} x what is installed",
        ]
    )


def to_json(result: Streamed) -> JsonObject:
    """Everything, with each single step."""
    return {
        "suite": SUITE,
        "conditions": result.conditions,
        "archive_bytes": result.archive_bytes,
        "installed_bytes": result.installed_bytes,
        "receiver_peak_disk_bytes": result.disk_peak_bytes,
        "time_over_download_or_unpack": result.over_download_or_unpack(),
        "time_over_transfer_or_unpack": result.over_transfer_or_unpack(),
        "source_cpu_ratios": result.cpu_ratios(),
        "disk_ratio": result.disk_ratio(),
        "steps": {name: [_derived(step) for step in steps] for name, steps in result.steps.items()},
    }


def _medians(steps: Sequence[Step]) -> dict[str, float]:
    each = [_derived(step) for step in steps]
    return {key: statistics.median(derived[key] for derived in each) for key in each[0]}


def _derived(step: Step) -> dict[str, float]:
    return {
        "seconds": step.seconds,
        "source_cpu_s": step.source.cpu_s,
        "receiver_cpu_s": step.receiver.cpu_s,
        "source_peak_rss_mib": step.source.peak_rss_bytes / MIB,
        "receiver_peak_rss_mib": step.receiver.peak_rss_bytes / MIB,
    }
