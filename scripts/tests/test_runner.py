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
from lanspread_harness.reports import counts, finished_lines, table, write_junit
from lanspread_harness.runner import Outcome, Runner, RunSettings, State
from lanspread_harness.scenario import Meta, Scenario

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
) -> list[Outcome]:
    settings = RunSettings(
        run_id="r",
        directory=tmp_path,
        seed=9,
        jobs=1 if fail_fast else 4,
        keep=keep,
        fail_fast=fail_fast,
        binary=FAKE_PEER,
        repository=tmp_path,
        command=("python3", "run.py", "--seed", "9"),
    )
    seen: list[Outcome] = []
    runner = Runner(settings, NoMulticast(FAKE_PEER), schema, seen.append)
    outcomes = asyncio.run(runner.run(scenarios))
    assert {outcome.scenario.id for outcome in seen} == {s.id for s in scenarios}
    return outcomes


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
    scenarios = [scenario(2, fails, Meta(timeout_s=99)), scenario(1, passes, Meta())]
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
