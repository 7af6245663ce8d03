"""Peers that end without having been asked to, on every backend: a failure, and in the history."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, TypeAlias

import pytest
from conftest import FAKE_PEER, run_bare
from faulty_world import a_backend

from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.errors import PeerDiedError, PeerExitedError, RecordTimeoutError
from lanspread_harness.lab import Lab, LabSettings, open_lab
from lanspread_harness.process_usage import find_pid
from lanspread_harness.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from conftest import InLab

    from lanspread_harness.client import Peer

InLabs: TypeAlias = "Callable[[Callable[[Lab], Awaitable[None]]], None]"


@pytest.fixture(params=["process", "netns", "docker"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> InLabs:
    """Run a coroutine in a lab of each backend."""
    backend, binary = (
        (ProcessBackend(FAKE_PEER), FAKE_PEER)
        if request.param == "process"
        else a_backend(request.param, tmp_path)
    )

    async def run(body: Callable[[Lab], Awaitable[None]]) -> None:
        settings = LabSettings(f"lab-deaths-{os.getpid()}", 1, tmp_path / "lab", binary)
        async with open_lab(settings, backend, load_schema(binary)) as lab:
            await body(lab)

    return lambda body: run_bare(run(body))


def die(peer: Peer, number: signal.Signals = signal.SIGKILL) -> None:
    """End a peer as the kernel would that has no memory left: nobody here asked for it."""
    os.kill(find_pid(peer), number)


def exits(directory: Path) -> list[tuple[str, str]]:
    lines = (directory / "history.jsonl").read_text().splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["kind"] == "exit"]
    return [(entry["peer"], entry["status"]) for entry in entries]


def test_a_death_that_nothing_waits_for_fails(anywhere: InLabs, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        victim, bravo = await lab.peer("victim"), await lab.peer("bravo")
        die(victim)
        # What the scenario is about goes on without it, for as long as it takes to be noticed.
        await bravo.event("never")

    with pytest.raises(
        PeerDiedError,
        match="victim: expected to run until it is asked to end, got exit with SIGKILL",
    ) as caught:
        anywhere(body)
    assert caught.value.evidence[0] == "exit with SIGKILL"
    assert ("victim", "SIGKILL") in exits(tmp_path / "lab")


def test_a_death_at_the_very_end_fails(anywhere: InLabs, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        die(await lab.peer("victim"))

    with pytest.raises(
        Exception, match=r"victim(: expected to run until it is asked to end| exits cleanly)"
    ):
        anywhere(body)
    assert ("victim", "SIGKILL") in exits(tmp_path / "lab")


def test_an_end_with_status_0_is_no_better(in_lab: InLab, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        victim = await lab.peer("victim")
        # As if it had ended by itself: its input ends, and not by the scenario's hand.
        victim.session.process.stdin.close()
        await victim.event("never")

    with pytest.raises(PeerDiedError) as caught:
        in_lab(body)
    assert caught.value.evidence[0] == "exit with status 0"
    assert exits(tmp_path) == [("victim", "status 0")]


def test_deaths_beside_another_failure_are_in_the_history(in_lab: InLab, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        victim = await lab.peer("victim")
        other = await lab.peer("exits")
        die(victim)
        await victim.session.ended.wait()
        await other.command("echo")

    with pytest.raises(PeerDiedError):
        in_lab(body)
    assert ("victim", "SIGKILL") in exits(tmp_path)


def test_what_ends_a_peer_is_no_death(in_lab: InLab, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        asked = [await lab.peer(f"asked{number}") for number in range(4)]
        await asked[0].kill()
        asked[1].close_stdin()
        await asked[2].signal(signal.SIGTERM)
        await asked[2].exited()
        waiting = asyncio.create_task(asked[3].exited())
        await asyncio.sleep(0)
        die(asked[3])
        assert str(await waiting) == "SIGKILL"
        await asked[0].start()

    in_lab(body)
    assert sorted(exits(tmp_path)) == [
        ("asked0", "SIGKILL"),
        ("asked0", "status 0"),
        ("asked1", "status 0"),
        ("asked2", "SIGTERM"),
        ("asked3", "SIGKILL"),
    ]


def test_harmless_signals_ask_for_nothing(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        victim = await lab.peer("victim")
        await victim.signal(signal.SIGCONT)
        die(victim)
        await victim.event("never")

    with pytest.raises(PeerDiedError):
        in_lab(body)


def test_who_is_asked_to_end_must_not_crash_instead(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        unclean = await lab.peer("unclean")
        unclean.close_stdin()
        await unclean.session.gone.wait()

    with pytest.raises(
        PeerExitedError, match="unclean: expected exit with status 0, as it was asked to"
    ) as caught:
        in_lab(body)
    assert caught.value.evidence[0] == "exit with status 4"


async def launched(lab: Lab) -> Peer:
    refuses = await lab.peer("refuses", start=False)
    await refuses.launch()
    return refuses


def test_a_start_that_fails_is_for_the_scenario_to_see(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        assert str(await (await launched(lab)).exited()) == "status 1"

    in_lab(body)


def test_a_start_that_fails_and_nobody_looks_at_fails(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        await (await launched(lab)).session.gone.wait()

    with pytest.raises(PeerDiedError, match="refuses: expected to run until") as caught:
        in_lab(body)
    assert "refuses stderr: it will not start" in caught.value.evidence


def test_an_output_that_ends_before_its_peer_is_a_failure(
    in_lab: InLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lanspread_harness.client.EXIT_TIMEOUT_S", 0.1)

    async def body(lab: Lab) -> None:
        mute = await lab.peer("mute")
        await mute.session.ended.wait()

    with pytest.raises(RecordTimeoutError, match="mute: expected its end within"):
        in_lab(body)
