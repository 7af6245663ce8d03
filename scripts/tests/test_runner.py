"""Running scenarios, and what is told of them."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from conftest import FAKE_PEER

from lanspread_harness.backends import Need
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.checks import expect
from lanspread_harness.run_summary import counts, finished_lines, flakes, table, write_junit
from lanspread_harness.runner import Outcome, Runner, RunSettings, State
from lanspread_harness.scenario import Meta, Scenario
from lanspread_harness.schedule import Budget, Job, jobs_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lanspread_harness.lab import Lab
    from lanspread_harness.schema import Schema


class NoMulticast(ProcessBackend):
    """A backend that lacks something."""

    def unsupported(self, needs: frozenset[Need]) -> str | None:
        return "there is no multicast" if Need.MDNS in needs else None


async def passes(lab: Lab) -> None:
    await (await lab.peer("alpha")).command("echo")


async def fails(lab: Lab) -> None:
    await (await lab.peer("alpha")).command("echo")
    expect(False, "two and two is five", 4)


async def errs(lab: Lab) -> None:
    raise KeyError(lab)


async def hangs(lab: Lab) -> None:
    await (await lab.peer("alpha")).event("never")


def scenario(number: int, body: Callable[[Lab], Awaitable[None]], meta: Meta) -> Scenario:
    return Scenario(f"S{number:02}", Path(f"s{number:02}_x.py"), f"it {body.__name__}", meta, body)


def run(
    tmp_path: Path,
    schema: Schema,
    scenarios: list[Scenario],
    *,
    keep: bool = False,
    fail_fast: bool = False,
    repeat: int = 1,
) -> list[Outcome]:
    jobs = 1 if fail_fast else 4
    settings = settings_for(tmp_path, jobs=jobs, keep=keep, fail_fast=fail_fast)
    observer = Recorder()
    runner = Runner(settings, NoMulticast(FAKE_PEER), schema, observer)
    planned = jobs_of(scenarios, 9, repeat)
    asyncio.run(runner.run(planned))
    outcomes = runner.outcomes(planned)
    assert {outcome.job.label for outcome in observer.outcomes} == {job.label for job in planned}
    assert observer.begun == {o.job.label for o in outcomes if o.state in RAN}
    return outcomes


def settings_for(
    directory: Path, *, jobs: int, keep: bool = False, fail_fast: bool = False
) -> RunSettings:
    return RunSettings(
        run_id="r",
        directory=directory,
        budget=Budget(jobs=jobs, cores=4, memory_mib=4096, peers=100),
        keep=keep,
        fail_fast=fail_fast,
        binary=FAKE_PEER,
        repository=directory,
        command=("python3", "run.py"),
    )


class Recorder:
    """Keeps what the runner tells."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.steps: list[tuple[str, str]] = []
        self.outcomes: list[Outcome] = []

    def started(self, job: Job) -> None:
        self.begun.add(job.label)

    def stepped(self, job: Job, step: str) -> None:
        assert job.label in self.begun
        self.steps.append((job.label, step))

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


RAN = (State.PASSED, State.FAILED)


def test_each_way_to_end(tmp_path: Path, schema: Schema) -> None:
    scenarios = [
        scenario(1, passes, Meta()),
        scenario(2, fails, Meta()),
        scenario(3, errs, Meta()),
        scenario(4, hangs, Meta(timeout_s=0.5)),
        scenario(5, passes, Meta(needs=frozenset({Need.MDNS}))),
    ]
    outcomes = run(tmp_path, schema, scenarios)
    states = [outcome.state for outcome in outcomes]
    assert states == [
        State.PASSED,
        State.FAILED,
        State.FAILED,
        State.FAILED,
        State.UNSUPPORTED,
    ]
    assert counts(outcomes) == "1 passed, 3 failed, 1 skipped"
    assert len(table(outcomes)) == 5
    expectations = [outcome.failure.expectation for outcome in outcomes if outcome.failure]
    assert expectations == [
        "two and two is five",
        "the scenario runs without an error of its own",
        "the scenario ends within 0.5 s",
    ]
    assert "there is no multicast" in "\n".join(finished_lines(outcomes[4]))


def test_a_failure_shows_its_evidence_and_how_to_run_it_again(
    tmp_path: Path, schema: Schema
) -> None:
    [outcome] = run(tmp_path, schema, [scenario(2, fails, Meta())])
    shown = "\n".join(finished_lines(outcome))
    for part in (
        "it fails",
        "two and two is five",
        "echoed",
        "run.py --seed 9 S02 --keep",
        "report.html#S02",
    ):
        assert part in shown
    directory = tmp_path / "S02"
    names = {path.name for path in directory.iterdir()}
    assert names == {"history.jsonl", "alpha.stderr", "disk.txt", "failure.txt", "repro.sh"}
    assert "peers/alpha/catalog.json" in (directory / "disk.txt").read_text()
    subprocess.run(["sh", "-n", directory / "repro.sh"], check=True)


def test_what_passes_leaves_nothing_unless_kept(tmp_path: Path, schema: Schema) -> None:
    run(tmp_path / "one", schema, [scenario(1, passes, Meta())])
    assert not (tmp_path / "one" / "S01").exists()
    run(tmp_path / "two", schema, [scenario(1, passes, Meta())], keep=True)
    kept = {path.name for path in (tmp_path / "two" / "S01").iterdir()}
    assert kept == {"history.jsonl", "alpha.stderr", "repro.sh", "peers"}


def test_fail_fast_begins_nothing_after_a_failure(tmp_path: Path, schema: Schema) -> None:
    scenarios = [scenario(2, fails, Meta(expected_s=99)), scenario(1, passes, Meta())]
    outcomes = run(tmp_path, schema, scenarios, fail_fast=True)
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.NOT_RUN]


@pytest.mark.parametrize("text", ["plain", "control \x1b[31m and \x00"])
def test_junit_can_be_read(tmp_path: Path, schema: Schema, text: str) -> None:
    async def refuses(lab: Lab) -> None:  # noqa: ARG001
        expect(False, text)

    outcomes = run(tmp_path, schema, [scenario(1, passes, Meta()), scenario(2, refuses, Meta())])
    write_junit(tmp_path / "junit.xml", outcomes)
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert len(suite.findall("testcase/failure")) == 1


def test_repetitions_are_told_apart(tmp_path: Path, schema: Schema) -> None:
    seeds: list[int] = []

    async def fails_once(lab: Lab) -> None:
        seeds.append(lab.seed)
        lab.note("a step")
        expect(lab.seed == 9, "the seed is the first one")

    outcomes = run(tmp_path, schema, [scenario(1, fails_once, Meta())], repeat=3)
    assert sorted(seeds) == sorted(outcome.job.seed for outcome in outcomes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["S01-2", "S01-3"]
    failed = ", ".join(str(outcome.job.seed) for outcome in outcomes[1:])
    assert flakes(outcomes) == [f"flaky  S01: 2 of 3 repetitions failed, seeds {failed}"]
    failure = outcomes[1].failure
    assert failure is not None
    assert f"--seed {outcomes[1].job.seed} S01 --keep" in failure.command
