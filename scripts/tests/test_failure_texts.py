"""A failure says what was expected and what held instead, in the same words everywhere."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from test_runner import run, scenario

from lanspread_harness.checks import expect, expect_equal, expect_error, expect_same_game
from lanspread_harness.errors import CommandError, ScenarioError, error_text
from lanspread_harness.fixtures import Bytes
from lanspread_harness.run_summary import finished_lines, write_junit
from lanspread_harness.scenario import Meta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from lanspread_harness.lab import Lab
    from lanspread_harness.schema import Schema


async def command_error(lab: Lab) -> None:
    await (await lab.peer("alpha")).command("refuse")


async def missing_event(lab: Lab) -> None:
    await (await lab.peer("alpha")).event("never", timeout_s=0.05, game_id="quake")


async def missing_answer(lab: Lab) -> None:
    await (await lab.peer("alpha")).command("silence", timeout_s=0.05)


async def end_while_waiting(lab: Lab) -> None:
    alpha = await lab.peer("alpha", start=False)
    await alpha.launch()
    alpha.close_stdin()
    await alpha.event("never")


async def other_files(lab: Lab) -> None:
    game = lab.game("quake", {"a": Bytes(b"a"), "b": Bytes(b"b")})
    alpha, bravo = await lab.peer("alpha", games=[game]), await lab.peer("bravo", games=[game])
    (bravo.root(game) / "a").write_bytes(b"x")
    (bravo.root(game) / "b").unlink()
    (bravo.root(game) / "c").write_bytes(b"c")
    await expect_same_game(game, alpha, bravo)


async def wrong_exit(lab: Lab) -> None:
    unclean = await lab.peer("unclean")
    unclean.close_stdin()
    await unclean.session.gone.wait()


async def unclean_end(lab: Lab) -> None:
    await lab.peer("unclean")


async def killed(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    await alpha.session.process.signal(signal.SIGKILL)
    await alpha.event("never")


async def still_running(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    await alpha.exited(timeout_s=0.05)


async def other_value(lab: Lab) -> None:
    await lab.peer("alpha")
    expect_equal(2 + 2, 5, "the sum")


async def false_condition(lab: Lab) -> None:
    await lab.peer("alpha")
    expect(2 + 2 == 5, "two and two is five", 2 + 2)


async def no_error(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    with expect_error("no"):
        await alpha.command("echo")


async def other_error(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    with expect_error("busy", "gone"):
        await alpha.command("refuse")


async def own_error(lab: Lab) -> None:
    await lab.peer("alpha")
    raise KeyError("x")


async def no_link(lab: Lab) -> None:
    alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
    async with lab.partition(alpha, bravo):
        pass


TEXTS: list[tuple[Callable[[Lab], Awaitable[None]], str]] = [
    (command_error, "alpha: refuse: expected success, got error no: never"),
    (
        missing_event,
        "alpha: expected event never game_id='quake' within 0.05 s, got none; its last record",
    ),
    (
        missing_answer,
        "alpha: expected an answer to silence within 0.05 s, got none; its last record is ready",
    ),
    (
        end_while_waiting,
        "alpha: expected event never before the peer ends, got exit with status 0",
    ),
    (
        other_files,
        "expected: bravo has the same quake as alpha; got: a: other bytes at bravo",
    ),
    (
        wrong_exit,
        "unclean: expected exit with status 0, as it was asked to, got exit with status 4",
    ),
    (unclean_end, "unclean exits cleanly: expected 'status 0', got 'status 4'"),
    (killed, "alpha: expected to run until it is asked to end, got exit with SIGKILL"),
    (still_running, "alpha: expected its end within 0.05 s, got a process that still runs"),
    (other_value, "the sum: expected 5, got 4"),
    (false_condition, "expected: two and two is five; got: 4"),
    (no_error, "expected: the command is refused with no; got: success"),
    (other_error, "expected: the command is refused with busy or gone; got: error no: never"),
    (own_error, "expected: the scenario runs without an error of its own; got: KeyError: 'x'"),
    (no_link, "alpha: expected a link of its own, got none on the backend process; say that META"),
]


@pytest.mark.parametrize(("body", "text"), TEXTS, ids=[body.__name__ for body, _ in TEXTS])
def test_expected_and_got_are_everywhere(
    tmp_path: Path, schema: Schema, body: Callable[[Lab], Awaitable[None]], text: str
) -> None:
    [outcome] = run(tmp_path, schema, [scenario(1, body, Meta())])
    failure = outcome.failure
    assert failure is not None
    assert failure.message.startswith(text)
    expected, got = failure.expectation, failure.evidence[0]
    shown = [line.strip() for line in finished_lines(outcome)]
    assert f"expected   {expected}" in shown
    assert f"got        {got}" in shown
    assert (tmp_path / "S01" / "failure.txt").read_text("utf-8").splitlines()[:2] == [expected, got]
    write_junit(tmp_path / "junit.xml", [outcome])
    found = ET.parse(tmp_path / "junit.xml").find(".//failure")
    assert found is not None
    assert found.get("message", "").startswith(text)
    history = (tmp_path / "S01" / "history.jsonl").read_text("utf-8")
    assert '"kind": "failure"' in history


def test_other_files_are_told_apart(tmp_path: Path, schema: Schema) -> None:
    [outcome] = run(tmp_path, schema, [scenario(1, other_files, Meta())])
    assert outcome.failure is not None
    assert outcome.failure.evidence == (
        "a: other bytes at bravo",
        "b: only alpha has it",
        "c: only bravo has it",
    )


def test_the_text_of_an_error() -> None:
    error = CommandError("bravo", "download", code="c", message="m", retryable=False, hint=None)
    assert str(error) == "bravo: download: expected success, got error c: m"
    assert repr(error) == f"CommandError({str(error)!r})", "this stands in groups"
    assert error.expectation == "bravo: download: success"
    assert str(ScenarioError("it holds")) == "expected: it holds"
    assert str(ScenarioError("a", about="it")) == "it: expected a"
    assert error_text(ScenarioError("it holds", ["no\nmore", "b"])) == (
        "expected: it holds; got: no more b"
    )
