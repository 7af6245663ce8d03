"""The suites: what is moved, over which links, and who takes part."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from lanspread_bench import contents, network, tools
from lanspread_bench.arena import Arena, transfer
from lanspread_bench.contestants import limited, straggler
from lanspread_bench.contestants.ceilings import Ceiling, Copy
from lanspread_bench.contestants.curl import Curl
from lanspread_bench.contestants.lanspread import LATE_COLUMNS, Lanspread
from lanspread_bench.contestants.libtorrent import Libtorrent
from lanspread_bench.contestants.rsync import Rsync
from lanspread_bench.contestants.sendme import Sendme
from lanspread_bench.errors import BenchError, LackingError, MissedError
from lanspread_bench.figures import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lanspread_bench.arena import Contestant
    from lanspread_bench.contents import Content, Contents
    from lanspread_bench.figures import Column
    from lanspread_bench.network import Host

REFERENCE = "lanspread"

AGAINST = ("sendme", "libtorrent", "curl", "rsync", "quic", "quic-8", "tcp", "cp")
"""Everybody that Lanspread can be held against."""

ONE_TO_ONE = "one source, one receiver, a cable of MTU {mtu}"


def _itself(binary: Path, build: str) -> Sequence[Contestant]:
    return [Lanspread(binary, build)]


@dataclass(frozen=True, slots=True)
class Suite:
    """One thing that is measured."""

    name: str
    content: Content
    said: str
    """Over which links, in words."""
    against: tuple[str, ...]
    """Who can do it."""
    sources: tuple[network.Rate, ...] = (network.Rate(),)
    receivers: tuple[network.Rate, ...] = (network.Rate(),)
    late_s: float | None = None
    with_reference: bool = True
    reference: str = REFERENCE
    """Whom the others are compared with."""
    rows: Callable[[Path, str], Sequence[Contestant]] = field(default=_itself)
    """What takes part of one build of the peer, given its binary and its name."""
    columns: Sequence[Column] = ()
    """What only this suite measures."""

    @contextmanager
    def hosts(self, mtu: int) -> Iterator[tuple[Sequence[Host], Sequence[Host]]]:
        """The hosts: on a cable where there are two, else around a switch."""
        if len(self.sources) == len(self.receivers) == 1:
            with network.cable(mtu) as (source, receiver):
                yield [source], [receiver]
        else:
            with network.switch([*self.sources, *self.receivers], mtu) as hosts:
                yield hosts[: len(self.sources)], hosts[len(self.sources) :]


def _even(count: int, mbit: int) -> tuple[network.Rate, ...]:
    return (network.Rate(mbit, mbit),) * count


UNEVEN = tuple(network.Rate(up_mbit=mbit) for mbit in (400, 300, 200, 100))

SUITES: dict[str, tuple[Suite, ...]] = {
    "control": (
        Suite(
            "control",
            contents.ONE_GIB,
            ONE_TO_ONE,
            ("quic", "quic-8", "tcp", "cp"),
            with_reference=False,
            reference="quic",
        ),
    ),
    "single": (Suite("single", contents.ONE_GIB, ONE_TO_ONE, AGAINST),),
    "small": (
        Suite("small", contents.SMALL_FILES, ONE_TO_ONE, ("sendme", "libtorrent", "rsync", "cp")),
    ),
    "multi": (
        Suite(
            "multi",
            contents.HALF_GIB,
            "4 sources of 400, 300, 200 and 100 Mbit/s around a switch of MTU {mtu}",
            ("libtorrent",),
            sources=UNEVEN,
        ),
        Suite(
            "multi-late",
            contents.HALF_GIB,
            "3 sources of 100, 200 and 300 Mbit/s; one of 400 Mbit/s is found after 2 s; MTU {mtu}",
            ("libtorrent",),
            sources=UNEVEN[::-1],
            late_s=2.0,
            columns=LATE_COLUMNS,
        ),
    ),
    "straggler": tuple(
        Suite(
            f"straggler-{percent}",
            content,
            f"4 sources of 200 Mbit/s around a switch of MTU {{mtu}}, one fails at {percent} %",
            (),
            sources=_even(4, 200),
            reference=straggler.Fault.NONE.value,
            rows=partial(straggler.rows, percent / 100),
            columns=straggler.COLUMNS,
        )
        # The last hundredth has to last for longer than it takes to strike.
        for percent, content in (
            (50, contents.HALF_GIB),
            (95, contents.HALF_GIB),
            (99, contents.ONE_GIB),
        )
    ),
    "limits": tuple(
        Suite(
            f"limits-{mib_per_s}",
            content,
            f"{ONE_TO_ONE}, {mib_per_s} MiB/s",
            (),
            rows=partial(limited.rows, mib_per_s),
            columns=limited.COLUMNS,
        )
        for mib_per_s, content in (
            (5, contents.LITTLE),
            (20, contents.QUARTER_GIB),
            (80, contents.ONE_GIB),
        )
    ),
    "swarm": tuple(
        Suite(
            f"swarm-{leechers}",
            contents.SWARM,
            f"1 seed, {leechers} leechers, 100 Mbit/s each way, around a switch of MTU {{mtu}}",
            ("libtorrent",),
            sources=_even(1, 100),
            receivers=_even(leechers, 100),
        )
        for leechers in (8, 16)
    ),
    "memory": (
        Suite("memory-64MiB", contents.LITTLE, ONE_TO_ONE, ()),
        Suite("memory-8GiB", contents.HUGE, ONE_TO_ONE, ()),
    ),
}


BY_NAME = {**{each.name: (each,) for suites in SUITES.values() for each in suites}, **SUITES}
"""What can be asked for: several that belong together, or one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the caller asked for."""

    against: frozenset[str]
    rounds: int
    mtu: int
    directory: Path
    """Where contents and copies are: the disk that is measured."""
    cache: Path
    binary: Path
    ceilings: Path
    candidates: dict[str, Path]
    """Other builds of the peer, by name."""


def run(suite: Suite, settings: Settings, made: Contents) -> Results:
    """Measure one suite: each round lets all contestants transfer, each time another one first."""
    conditions = f"{suite.content.said}, {suite.said.format(mtu=settings.mtu)}"
    results = Results(suite.name, conditions, suite.reference, columns=suite.columns)
    contestants = _contestants(suite, settings, results)
    results.notes.update({each.name: each.notes for each in contestants})
    with suite.hosts(settings.mtu) as (sources, receivers):
        arena = Arena(
            sources=sources,
            receivers=receivers,
            content_id=suite.content.id,
            root=made.root(suite.content),
            catalog=made.catalog,
            directory=settings.directory / "transfer",
            kept=settings.directory / "kept",
            late_s=suite.late_s,
        )
        for number in range(settings.rounds):
            first = number % len(contestants)
            for contestant in [*contestants[first:], *contestants[:first]]:
                _measure(contestant, arena, number, results)
    return results


def _measure(contestant: Contestant, arena: Arena, number: int, results: Results) -> None:
    name = contestant.name
    if name in results.absent:
        return
    try:
        sample = asyncio.run(transfer(contestant, arena))
    except* MissedError as errors:
        results.missed.append(f"{name}: nothing in round {number + 1}: {_leaf(errors)}")
        _say(f"{results.suite} {number + 1}: {results.missed[-1]}")
    except* BenchError as errors:
        results.absent[name] = f"round {number + 1}: {_leaf(errors)}"
        results.failed.add(name)
        _say(f"{results.suite} {number + 1}: {name}: {results.absent[name]}")
    else:
        results.add(name, number, sample)
        _say(
            f"{results.suite} {number + 1}: {name}: {sample.mib_per_s:.0f} MiB/s, "
            f"CPU {sample.sources.cpu_s:.2f} s and {sample.receivers.cpu_s:.2f} s"
        )


def _contestants(suite: Suite, settings: Settings, results: Results) -> list[Contestant]:
    chosen: list[Contestant] = []
    if suite.with_reference:
        builds = {REFERENCE: settings.binary, **settings.candidates}
        chosen += [each for name, binary in builds.items() for each in suite.rows(binary, name)]
    for name in suite.against:
        if name in settings.against:
            try:
                chosen.append(_contestant(name, settings))
            except LackingError as error:
                results.absent[name] = str(error)
                _say(f"{suite.name}: {name}: {error}")
    if suite.against:
        for name in sorted(settings.against.difference(suite.against)):
            results.absent[name] = "does not do this"
    return chosen


def _contestant(name: str, settings: Settings) -> Contestant:
    cache, ceilings = settings.cache, settings.ceilings
    match name:
        case "sendme":
            return Sendme(tools.sendme(cache))
        case "libtorrent":
            return Libtorrent(tools.libtorrent(cache))
        case "curl":
            return Curl(tools.debian(cache, "nginx", "nginx"))
        case "rsync":
            return Rsync(tools.debian(cache, "rsync", "rsync"))
        case "quic":
            return Ceiling(ceilings, "quic", name)
        case "quic-8":
            return Ceiling(ceilings, "quic", name, "--streams", "8")
        case "tcp":
            return Ceiling(ceilings, "tcp", name)
        case _:
            return Copy()


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
