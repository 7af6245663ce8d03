"""A runner that is killed or interrupted leaves nothing behind, not even peers that are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER
from test_runner import Recorder, scenario, settings_for

from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.cli import interruption
from lanspread_harness.orphan_cleanup import kill_orphans
from lanspread_harness.runner import Runner, State
from lanspread_harness.scenario import Meta
from lanspread_harness.schedule import jobs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lanspread_harness.lab import Lab
    from lanspread_harness.schema import Schema

RUNNER = """
import asyncio, os, sys
from pathlib import Path
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.schema import load_schema

async def main(peer, directory):
    settings = LabSettings("lab-killed", 1, directory, peer)
    async with open_lab(settings, ProcessBackend(peer), load_schema(peer)) as lab:
        alpha = await lab.peer("alpha")
        pid = alpha.session.process.process.pid
        await alpha.freeze()
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        print(pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A runner in a process of its own, and the pid of its stopped peer."""
    command = [sys.executable, "-c", RUNNER, str(FAKE_PEER), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(FAKE_PEER.parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()
    kill_orphans()


def test_the_peers_of_a_killed_runner_die_at_the_next_start(
    runner: tuple[subprocess.Popen[str], int],
) -> None:
    process, peer = runner
    assert peer not in kill_orphans(), "its runner lives"
    assert state(peer) == "T"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state(peer) == "T", "nothing else ends a stopped peer"
    assert peer in kill_orphans()
    assert state(peer) in ("Z", None)
    assert peer not in kill_orphans()


def test_an_interrupted_run_ends_its_peers_and_says_what_did_not_end(
    tmp_path: Path, schema: Schema
) -> None:
    pids: list[int] = []
    begun = asyncio.Event()

    async def waits(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        await alpha.freeze()
        pids.append(alpha.session.process.process.pid)  # type: ignore[attr-defined]
        begun.set()
        await alpha.event("never")

    async def interrupt() -> list[State]:
        runner = Runner(
            settings_for(tmp_path, jobs=1), ProcessBackend(FAKE_PEER), schema, Recorder()
        )
        jobs = jobs_of([scenario(1, waits, Meta()), scenario(2, waits, Meta())], 1, 1)
        run = asyncio.create_task(runner.run(jobs))
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return [outcome.state for outcome in runner.outcomes(jobs)]

    assert asyncio.run(interrupt()) == [State.NOT_RUN, State.NOT_RUN]
    assert [state(pid) for pid in pids] == [None]
    assert not (tmp_path / "S01" / "peers").exists()


def test_a_second_interrupt_does_not_disturb_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[str] = []
    ending = asyncio.Event()

    async def run() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("the end begins")
            ending.set()
            await asyncio.sleep(0)
            steps.append("everything is removed")
        return 0

    async def body() -> None:
        running = asyncio.ensure_future(run())
        interrupt = interruption(running)
        await asyncio.sleep(0)
        interrupt()
        await ending.wait()
        interrupt()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(body())
    assert steps == ["the end begins", "everything is removed"]
    assert "the run is ending" in capsys.readouterr().err


def state(pid: int) -> str | None:
    """The state of a process as the kernel tells it, `None` where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
