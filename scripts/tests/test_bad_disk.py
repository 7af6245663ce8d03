"""Disks of the machine that are full or closed: one scenario fails by them, and it is said."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from conftest import FAKE_PEER
from runner_process import FAILS, PASSES, failures, run_runner, states
from test_runner import Recorder, scenario, settings_for

from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.errors import ScenarioError
from lanspread_harness.history import History
from lanspread_harness.run_summary import counts, write_junit
from lanspread_harness.runner import Outcome, Runner, State
from lanspread_harness.scenario import Meta
from lanspread_harness.schedule import jobs_of
from lanspread_harness.system_programs import lacking_for_disks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from lanspread_harness.lab import Lab
    from lanspread_harness.schema import Schema

DISK_BYTES = 512 * 1024

needs_a_disk = pytest.mark.skipif(lacking_for_disks() is not None, reason=f"{lacking_for_disks()}")


@contextmanager
def small_disk(path: Path, *options: str) -> Iterator[None]:
    path.mkdir(parents=True, exist_ok=True)
    command = ("mount", "-t", "tmpfs", "-o", ",".join((f"size={DISK_BYTES}", *options)), "none")
    subprocess.run([*command, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


async def fills_its_disk(lab: Lab) -> None:
    (lab.scratch / "file").write_bytes(b"x" * (2 * DISK_BYTES))


async def fills_it_for_the_harness(lab: Lab) -> None:
    await lab.peer("alpha")
    with (lab.scratch / "file").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096) == 4096:
            pass
    lab.note("so much that it is written at once " * 100_000)


async def goes_on(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    for number in range(20):
        await alpha.command("echo", number=number)


def run_beside(
    place: Path, schema: Schema, body: Callable[[Lab], Awaitable[None]]
) -> list[Outcome]:
    """Run a body as S01 beside two scenarios that have nothing to do with it."""
    bodies = (body, goes_on, goes_on)
    jobs = jobs_of([scenario(n, b, Meta()) for n, b in enumerate(bodies, start=1)], 1, 1)
    runner = Runner(settings_for(place, jobs=3), ProcessBackend(FAKE_PEER), schema, Recorder())
    asyncio.run(runner.run(jobs))
    return runner.outcomes(jobs)


def check_only_the_first_failed(outcomes: list[Outcome], reason: str) -> None:
    assert [o.state for o in outcomes] == [State.FAILED, State.PASSED, State.PASSED]
    failure = outcomes[0].failure
    assert failure is not None
    assert reason in "\n".join([failure.expectation, *failure.evidence])


@needs_a_disk
@pytest.mark.parametrize("body", [fills_its_disk, fills_it_for_the_harness])
def test_a_full_disk_fails_its_scenario_alone(
    tmp_path: Path, schema: Schema, body: Callable[[Lab], Awaitable[None]]
) -> None:
    with small_disk(tmp_path / "S01"):
        outcomes = run_beside(tmp_path, schema, body)
        check_only_the_first_failed(outcomes, "No space left on device")
        # There is room again as soon as the peers' disks are deleted.
        assert (tmp_path / "S01" / "failure.txt").read_text()


def test_a_scenario_without_a_directory_fails_alone(tmp_path: Path, schema: Schema) -> None:
    (tmp_path / "S01").write_text("in the way")
    outcomes = run_beside(tmp_path, schema, goes_on)
    check_only_the_first_failed(outcomes, "Not a directory")
    assert "failure.txt cannot be written" in "\n".join(outcomes[0].failure.evidence)  # type: ignore[union-attr]


@needs_a_disk
def test_a_history_that_cannot_be_written_fails_once_and_is_dropped(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        path = tmp_path / "disk" / "history.jsonl"
        with pytest.raises(ScenarioError, match="the history can be written"), History(path) as it:
            it.note("x" * 2 * DISK_BYTES)
        history = History(path)
        with pytest.raises(ScenarioError):
            history.note("x" * 4 * DISK_BYTES)
        history.note("nothing of this is kept")
        with pytest.raises(ScenarioError, match="two is three"), history:
            raise ScenarioError("two is three")


@needs_a_disk
def test_what_cannot_be_written_at_the_end_is_said_and_is_no_success(tmp_path: Path) -> None:
    # Labs have their room elsewhere, so that it is the end alone that finds none.
    fills = PASSES + (
        "    run = lab.peers_dir.parents[1]\n"
        "    for name in ('junit.xml', 'report.html'):\n"
        "        (run / name).mkdir()\n"
    )
    ran = run_runner(tmp_path, {"passes": fills}, "--json")
    assert ran.returncode == 1
    assert states(ran) == {"S01": "passed"}
    for name in ("junit.xml", "report.html"):
        assert f"{name} cannot be written: Is a directory" in ran.stderr
    assert "Traceback" not in ran.stderr


@needs_a_disk
def test_a_place_that_is_closed_is_one_line_and_status_3(tmp_path: Path) -> None:
    with small_disk(tmp_path / "out", "ro"):
        ran = run_runner(tmp_path, {"passes": PASSES})
    assert ran.returncode == 3
    assert ran.stderr.startswith("environment: --out ")
    assert "Read-only file system" in ran.stderr
    assert ran.stderr.count("\n") == 1


@needs_a_disk
def test_a_full_place_is_no_traceback(tmp_path: Path) -> None:
    with small_disk(tmp_path / "out"):
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "out" / "ballast").write_bytes(b"x" * 2 * DISK_BYTES)
        ran = run_runner(tmp_path, {"passes": PASSES, "fails": FAILS})
    assert ran.returncode in (1, 3)
    assert "Traceback" not in ran.stderr
    assert "No space left on device" in ran.stderr


def test_an_interrupted_run_is_an_error_in_junit(tmp_path: Path, schema: Schema) -> None:
    begun = asyncio.Event()

    async def waits(lab: Lab) -> None:
        begun.set()
        await (await lab.peer("alpha")).event("never")

    async def interrupt() -> list[Outcome]:
        runner = Runner(
            settings_for(tmp_path, jobs=1), ProcessBackend(FAKE_PEER), schema, Recorder()
        )
        jobs = jobs_of([scenario(1, waits, Meta()), scenario(2, waits, Meta())], 1, 1)
        run = asyncio.create_task(runner.run(jobs))
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return runner.outcomes(jobs)

    outcomes = asyncio.run(interrupt())
    assert counts(outcomes) == "0 passed, 0 failed, 2 unfinished"
    write_junit(tmp_path / "junit.xml", outcomes)
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("errors"), suite.get("skipped")) == ("2", "0")
    assert len(suite.findall("testcase/error")) == 2


def test_nothing_that_can_run_is_no_success(tmp_path: Path) -> None:
    needs = PASSES.replace(
        "async def",
        "from lanspread_harness import Meta, Need\n"
        "META = Meta(needs=frozenset({Need.LINKS}))\n\nasync def",
        1,
    )
    ran = run_runner(tmp_path, {"links": needs}, "--json")
    assert ran.returncode == 3
    assert states(ran) == {"S01": "unsupported"}
    assert "nothing of this can run here" in ran.stderr
    both = run_runner(tmp_path, {"links": needs, "passes": PASSES}, "--json")
    assert both.returncode == 0
    assert failures(both) == {}
