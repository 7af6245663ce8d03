"""The benchmark with real links, in small: needs root, and for whole suites a built peer."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from lanspread_bench import commands, network, streamed
from lanspread_bench.contents import LITTLE, Content, Contents
from lanspread_bench.errors import BenchError, LackingError
from lanspread_bench.figures import MIB
from lanspread_bench.run_directory import run_directory
from lanspread_bench.streamed import STEPS
from lanspread_bench.suites import BY_NAME, Settings, run
from lanspread_harness.build import BINARY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lanspread_bench.figures import Results
    from lanspread_bench.suites import Suite

REPOSITORY = Path(__file__).parents[2]

ENDS_TIMEOUT_S = 20.0
"""For a process that was told to end, on a machine that does other things."""

SMALL = Content("small", ("--sized", "32MiB"), "32 MiB in one file")

SLOW = network.Rate(up_mbit=50, down_mbit=50)
"""So slow that a small download lasts long enough for something to happen in it."""


@pytest.fixture(scope="module", autouse=True)
def _rights() -> None:
    try:
        network.require()
        with network.cable(1500):
            pass
    except LackingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def binary() -> Path:
    """A peer that is named or that somebody has built; tests do not build."""
    if named := os.environ.get(BINARY_VARIABLE):
        return Path(named)
    built = REPOSITORY.glob("target/**/release/lanspread-peer-cli")
    newest = max(built, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        pytest.skip("no release build of lanspread-peer-cli: peer_cli.py build makes it")
    return newest


def test_nothing_passes_a_host_in_the_dark_and_all_does_when_it_recovers() -> None:
    with network.switch([network.Rate(), network.Rate()], 1500) as (source, receiver):
        for sender, listener in ((source, receiver), (receiver, source)):
            with _listening(listener) as heard:
                _say(sender, listener, "before")
                assert heard.readline() == "before\n"
                source.black_hole()
                _say(sender, listener, "in the dark")
                source.recover()
                _say(sender, listener, "after")
                assert heard.readline() == "after\n"


def test_a_host_slows_down_and_gets_its_rate_back() -> None:
    rate = network.Rate(up_mbit=100, down_mbit=100)
    with network.switch([rate, rate], 1500) as (source, _):
        assert "rate 100Mbit" in _shaper(source)
        source.slow_down(100)
        assert "rate 1Mbit" in _shaper(source)
        source.recover()
        assert "rate 100Mbit" in _shaper(source)


def test_a_host_on_a_cable_has_no_switch_that_could_drop_its_packets() -> None:
    with network.cable(1500) as (source, _), pytest.raises(BenchError, match="not at a switch"):
        source.black_hole()


def test_a_straggler_is_measured_in_every_row(tmp_path: Path, binary: Path) -> None:
    # Four sources give a chunk each at about the same time, so that half of a game of two such
    # rounds is passed between two reports; this one has four.
    suite = replace(BY_NAME["straggler-50"][0], sources=(SLOW,) * 4)
    results = _run(suite, tmp_path, binary, LITTLE)
    assert (results.absent, results.missed) == ({}, [])
    assert set(results.samples) == {"undisturbed", "leaves", "blackholed", "cut to 1 %"}
    columns = {column.key: column for column in results.columns}
    for row in ("leaves", "blackholed", "cut to 1 %"):
        (struck_at,) = results.figures(columns["struck_at_percent"], row)
        assert 0.0 < struck_at < 100.0
        assert len(results.figures(columns["duplicates_percent"], row)) == 1
    # Nobody gives what it has not received, and what was sent twice is in it.
    (received,) = results.figures(columns["received_percent"], "blackholed")
    assert received > 100.0


def test_a_limit_is_kept_and_measured_at_either_end(tmp_path: Path, binary: Path) -> None:
    results = _run(BY_NAME["limits-20"][0], tmp_path, binary)
    assert (results.absent, results.missed) == ({}, [])
    for row in ("--upload-limit", "--download-limit"):
        sample = results.samples[row][0]
        assert sample.figures["limit_mib_per_s"] == 20
        assert sample.mib_per_s == pytest.approx(20, rel=0.2)
        assert sample.figures["off_limit_percent"] == pytest.approx(0, abs=20)


def test_a_late_source_tells_when_it_was_of_use(tmp_path: Path, binary: Path) -> None:
    suite = replace(BY_NAME["multi-late"][0], sources=(SLOW,) * 2, late_s=0.1, against=())
    results = _run(suite, tmp_path, binary)
    assert results.absent == {}
    assert results.samples["lanspread"][0].figures["late_busy_s"] > 0.0


def _stream(tmp_path: Path, binary: Path) -> streamed.Setting:
    directory = tmp_path / "streamed"
    return streamed.Setting(binary, directory, archive=None, unrar=None, mtu=1500, rounds=1)


def test_a_stream_is_measured_beside_all_that_it_is_held_against(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "MADE_MIB", 8)
    monkeypatch.setattr(streamed, "MADE_SMALL_FILES", 10)
    setting = _stream(tmp_path, binary)
    result = streamed.measure(setting)
    assert {name: len(steps) for name, steps in result.steps.items()} == dict.fromkeys(STEPS, 1)
    assert result.installed_bytes >= 8 * MIB
    # What is installed was there, and neither an archive nor a second copy beside it.
    assert result.disk_ratio() == pytest.approx(1, abs=0.2)
    plain = setting.games(streamed.PLAIN) / streamed.PLAIN / "data.bin"
    assert plain.stat().st_size == result.installed_bytes
    assert not setting.received().exists()


def test_a_step_of_a_stream_that_does_not_end_fails(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "MADE_MIB", 8)
    monkeypatch.setattr(streamed, "TRANSFER_TIMEOUT_S", 0.0)
    setting = _stream(tmp_path, binary)
    with pytest.raises(BenchError, match="stream: not done"):
        streamed.measure(setting)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_an_interrupted_run_stays(tmp_path: Path, signal_number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        cwd=REPOSITORY / "scripts",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as bench:
        assert bench.stdout is not None
        started = [os.pidfd_open(int(pid)) for pid in bench.stdout.readline().split()]
        assert len(started) == 4
        bench.send_signal(signal_number)
        for pidfd in started:
            ended, _, _ = select.select([pidfd], [], [], ENDS_TIMEOUT_S)
            os.close(pidfd)
            assert ended
    if signal_number == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []
    with run_directory(tmp_path) as directory:
        assert list(tmp_path.iterdir()) == [directory]


INTERRUPTED = textwrap.dedent(
    """
    import asyncio, signal, sys
    from pathlib import Path
    from lanspread_bench.arena import Arena, transfer
    from lanspread_bench.network import cable
    from lanspread_bench.run_directory import run_directory

    class Endless:
        name = notes = "endless"

        async def prepare(self, arena, processes):
            hosts = (*arena.sources, *arena.receivers)
            script = ("sh", "-c", "echo $$; exec sleep 1000")
            started = [await processes.start(host.name, host.command(*script)) for host in hosts]
            pids = [await process.line() for process in started]
            print(*pids, *(host.holder for host in hosts), flush=True)
            await asyncio.Event().wait()

    # A job in the background of a shell begins with it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with run_directory(Path(sys.argv[1])) as directory, cable(1500) as (source, receiver):
        root = directory / "content"
        root.mkdir()
        arena = Arena(
            [source], [receiver], "game", root, directory, directory / "transfer", directory
        )
        asyncio.run(transfer(Endless(), arena))
    """
)
"""A run that is in the middle of a transfer until somebody ends it; prints whom it has started."""


def _run(suite: Suite, directory: Path, binary: Path, content: Content = SMALL) -> Results:
    """One round of a suite with a small game, and nothing left of it."""
    with run_directory(directory) as own:
        settings = Settings(
            against=frozenset(),
            rounds=1,
            mtu=1500,
            directory=own,
            cache=own,
            binary=binary,
            ceilings=binary,
            candidates={},
        )
        made = Contents(own / "content", binary)
        results = run(replace(suite, content=content), settings, made)
    assert list(directory.iterdir()) == []
    return results


def _shaper(host: network.Host) -> str:
    return commands.run(host.command("tc", "qdisc", "show", "dev", network.DEVICE))


LISTEN = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
    heard.bind((sys.argv[1], 9000))
    print("listening", flush=True)
    while True:
        print(heard.recv(100).decode(), flush=True)
"""

SAY = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), (sys.argv[1], 9000))
"""


@contextmanager
def _listening(host: network.Host) -> Iterator[IO[str]]:
    """What a host hears, a line for each packet."""
    command = host.command(sys.executable, "-c", LISTEN, host.address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        try:
            assert listener.stdout.readline() == "listening\n"
            yield listener.stdout
        finally:
            listener.kill()


def _say(sender: network.Host, to: network.Host, words: str) -> None:
    commands.run(sender.command(sys.executable, "-c", SAY, to.address, words))
