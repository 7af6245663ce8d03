"""What a run shows: plain lines, a live table, and JSON."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from test_runner import passes, scenario

from lanspread_harness.evidence import Failure
from lanspread_harness.progress import Display, Plan, Summary, can_redraw
from lanspread_harness.progress.json_lines import JsonDisplay
from lanspread_harness.progress.live import LiveDisplay
from lanspread_harness.progress.plain import PlainDisplay
from lanspread_harness.runner import Outcome, State
from lanspread_harness.scenario import Meta
from lanspread_harness.schedule import Budget, Job, Shard, jobs_of

JOBS = jobs_of([scenario(1, passes, Meta())], 9, 3)
PLAN = Plan("r", "process", 9, JOBS, Budget(2, 2, 100, 10), Shard(1, 2), Path("out/r"))


def outcome(job: Job, state: State) -> Outcome:
    failure = Failure(
        message="expected: two is three; got: a line",
        expectation="two is three",
        evidence=("a line",),
        records=(),
        artefacts=Path("out/r"),
        report="out/r/report.html#S01-2",
        command="run again",
    )
    return Outcome(job, "process", state, 1.5, failure if state is State.FAILED else None)


OUTCOMES = [
    outcome(JOBS[0], State.PASSED),
    outcome(JOBS[1], State.FAILED),
    outcome(JOBS[2], State.PASSED),
]
SUMMARY = Summary(OUTCOMES, 3.0, Path("out/r/junit.xml"), Path("out/r/report.html"), 1, False)


def play(display: Display) -> None:
    async def run() -> None:
        display.run_started(PLAN)
        async with display.live():
            for one in OUTCOMES:
                display.started(one.job)
                display.stepped(one.job, "alpha: download")
                await asyncio.sleep(0)
                display.finished(one)
        display.run_finished(SUMMARY)

    asyncio.run(run())


def test_plain_lines_have_no_control_sequences_and_end_with_the_counts() -> None:
    out = io.StringIO()
    play(PlainDisplay(out))
    text = out.getvalue()
    assert "\x1b" not in text
    assert "3 scenarios (shard 1/2) on process" in text
    assert "seed 9" in text
    assert f"flaky  S01: 1 of 3 repetitions failed, seeds {JOBS[1].seed}" in text
    assert "report out/r/report.html" in text
    assert text.splitlines()[-1] == "2 passed, 1 failed"


def test_a_live_table_leaves_only_the_plain_lines() -> None:
    live, plain = io.StringIO(), io.StringIO()
    play(LiveDisplay(live))
    play(PlainDisplay(plain))
    assert screen(live.getvalue()) == screen(plain.getvalue())
    assert "alpha: download" in live.getvalue()


def screen(written: str) -> list[str]:
    """What a terminal of endless size shows after it got this."""
    rows = [""]
    parts = written.split("\x1b[")
    for index, part in enumerate(parts):
        text = part
        if index > 0 and part.startswith("J"):
            text = part[1:]
        elif index > 0:
            up, _, text = part.partition("A")
            del rows[len(rows) - 1 - int(up) :]
            rows.append("")
        first, *others = text.split("\n")
        rows[-1] += first
        rows += others
    return rows


def test_the_live_table_fits_the_terminal() -> None:
    display = LiveDisplay(io.StringIO())
    display.run_started(PLAN)
    for number in range(20):
        job = Job(scenario(number, passes, Meta()), 1)
        display.started(job)
        display.stepped(job, "a step " * 100)
    rows = display.rows(now=0, columns=60, limit=10)
    assert len(rows) == 10
    assert all(len(row) < 60 for row in rows)
    assert "12 more" in rows[-1]


def test_json_lines_are_all_there_is() -> None:
    out = io.StringIO()
    play(JsonDisplay(out))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "run-started",
        *["scenario-started", "scenario-finished"] * 3,
        "run-finished",
    ]
    assert events[0]["seed"] == 9
    assert events[4]["failure"]["expected"] == "two is three"
    last = events[-1]
    assert (last["passed"], last["failed"], last["flaky"]) == (2, 1, ["S01"])
    assert (last["exit_status"], last["junit"]) == (1, "out/r/junit.xml")


@pytest.mark.parametrize(
    ("term", "no_color", "expected"),
    [("xterm", None, True), ("xterm", "1", False), ("dumb", None, False), (None, None, False)],
)
def test_only_a_capable_terminal_is_redrawn(
    term: str | None, no_color: str | None, expected: bool
) -> None:
    assert can_redraw(term, no_color) is expected
