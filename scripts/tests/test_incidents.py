"""Trouble between honest peers fails a scenario that ends as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lanspread_harness.errors import ExpectationError
from lanspread_harness.incidents import INCIDENT_EVENTS, ORDINARY_WARNINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import InLab

    from lanspread_harness.lab import Lab

WARNING = "2026-11-30T15:21:06.209453Z  WARN lanspread_peer::x: a disk is slow"
EXPECTATION = "alpha has no incident that the scenario does not expect"


def tells(event: str, *expected: str) -> Callable[[Lab], Awaitable[None]]:
    async def body(lab: Lab) -> None:
        lab.expects(*expected)
        alpha = await lab.peer("alpha")
        await alpha.command("tell", event=event)

    return body


def logs(line: str, *expected: str) -> Callable[[Lab], Awaitable[None]]:
    async def body(lab: Lab) -> None:
        lab.expects(*expected)
        await (await lab.peer("alpha")).command("log", line=line)

    return body


@pytest.mark.parametrize("event", sorted(INCIDENT_EVENTS))
def test_an_incident_event_fails(in_lab: InLab, event: str) -> None:
    with pytest.raises(ExpectationError, match=EXPECTATION) as caught:
        in_lab(tells(event))
    assert event in caught.value.evidence[0]


@pytest.mark.parametrize("level", ["WARN", "ERROR"])
def test_a_warning_in_a_log_fails(in_lab: InLab, level: str) -> None:
    with pytest.raises(ExpectationError, match=EXPECTATION) as caught:
        in_lab(logs(WARNING.replace("WARN", level)))
    assert "a disk is slow" in caught.value.evidence[0]


def test_another_expectation_is_no_excuse(in_lab: InLab) -> None:
    with pytest.raises(ExpectationError, match=EXPECTATION):
        in_lab(tells("source-dropped", "peer-rejected", "it sent a wrong chunk"))


def test_trouble_of_a_peer_that_was_killed_counts(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        await tells("source-dropped")(lab)
        await lab.peers[0].restart()

    with pytest.raises(ExpectationError, match=EXPECTATION):
        in_lab(body)


def test_what_is_expected_passes(in_lab: InLab) -> None:
    in_lab(tells("source-dropped", "source-dropped"))


def test_a_part_of_what_is_told_is_enough(in_lab: InLab) -> None:
    in_lab(logs(WARNING, "disk is slow"))


@pytest.mark.parametrize(
    "line",
    [
        WARNING.replace("WARN", "INFO"),
        "WARNING: the engine has no swap limit",
        WARNING.replace("a disk is slow", ORDINARY_WARNINGS[0]),
    ],
)
def test_the_rest_of_a_log_is_no_incident(in_lab: InLab, line: str) -> None:
    in_lab(logs(line))


def test_a_panic_cannot_be_expected(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        lab.expects("panicked")
        await lab.peer("panics")

    with pytest.raises(ExpectationError, match="panics has no incident") as caught:
        in_lab(body)
    assert "panics panics: " in caught.value.evidence[0]
