"""Peers in a lab: commands, events, and every way a peer can break the rules."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER

from lanspread_harness.backends import Need
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.errors import (
    CommandError,
    ExpectationError,
    PeerDiedError,
    ProtocolError,
    RecordTimeoutError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import InLab

    from lanspread_harness.lab import Lab


def test_a_command_returns_its_result_and_an_error_raises(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        assert (await alpha.command("echo", text="hello")).text("text") == "hello"
        with pytest.raises(CommandError) as caught:
            await alpha.command("refuse")
        assert caught.value.code == "no"
        assert caught.value.hint == "give up"

    in_lab(body)


def test_events_of_the_past_and_of_the_future_are_found(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        await alpha.command("echo", number=1)
        past = await alpha.event("echoed", number=1)
        waiting = asyncio.create_task(alpha.event("echoed", since=alpha.mark()))
        await alpha.command("echo", number=2)
        future = await waiting
        assert (past.data.integer("number"), future.data.integer("number")) == (1, 2)
        assert len(alpha.events("echoed")) == 2
        assert alpha.events("echoed", number=3) == []

    in_lab(body)


def test_a_wait_in_vain_shows_what_was_printed(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        await alpha.event("never", timeout_s=0.01)

    with pytest.raises(
        RecordTimeoutError,
        match=r"alpha: expected event never within 0\.01 s, got none; its last record is ready",
    ) as caught:
        in_lab(body)
    assert any("ready" in line for line in caught.value.records)


def test_a_peer_that_dies_ends_waits_for_it(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        await (await lab.peer("exits")).command("echo")

    with pytest.raises(
        PeerDiedError, match="exits: expected to run until it is asked to end, got exit with"
    ) as caught:
        in_lab(body)
    ended, unanswered = caught.value.evidence
    assert ended == "exit with status 7"
    assert unanswered == "command 1 is unanswered"


@pytest.mark.parametrize(
    ("name", "expectation"),
    [
        ("garbage", "a line of output: expected JSON, got"),
        ("skips", "the next seq: expected 2, got 3"),
        ("invents", "fits the schema"),
        ("repeats", "repeats: expected one terminal record of command 1, got a second one"),
    ],
)
def test_a_broken_rule_fails_the_lab(in_lab: InLab, name: str, expectation: str) -> None:
    async def body(lab: Lab) -> None:
        peer = await lab.peer(name)
        await peer.command("echo")
        await peer.event("stopped")

    with pytest.raises(ProtocolError, match=expectation):
        in_lab(body)


@pytest.mark.parametrize(
    ("name", "expectation"), [("unclean", "exits cleanly"), ("panics", "panics has no incident")]
)
def test_the_end_must_be_clean(in_lab: InLab, name: str, expectation: str) -> None:
    async def body(lab: Lab) -> None:
        await lab.peer(name)

    with pytest.raises(ExpectationError, match=expectation):
        in_lab(body)


def test_an_unanswered_command_fails_the_lab(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        with pytest.raises(RecordTimeoutError):
            await alpha.command("silence", timeout_s=0.01)

    with pytest.raises(ExpectationError, match="answers every command"):
        in_lab(body)


def test_a_restarted_peer_is_a_new_session(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        await alpha.command("echo")
        await alpha.kill()
        assert str(await alpha.exited()) == "SIGKILL"
        await alpha.start()
        assert alpha.events("echoed") == []
        await alpha.command("echo")

    in_lab(body)


def test_a_file_can_be_unreadable_for_a_peer_even_of_root(in_lab: InLab) -> None:
    reason = ProcessBackend(FAKE_PEER).unsupported(frozenset({Need.PERMISSIONS}))
    if reason is not None:
        pytest.skip(reason)

    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        path = alpha.games_dir / "file"
        path.write_text("content")

        async def read() -> str:
            return (await alpha.command("read", path=str(path))).text("text")

        async with lab.unreadable(alpha, path):
            assert await read() == "PermissionError"
        assert await read() == "content"

    in_lab(body)


def test_a_flipped_bit_is_all_that_changes(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        path = alpha.games_dir / "file"
        path.write_bytes(b"content")
        before = path.stat()
        async with lab.bit_flip(alpha, path, offset=3):
            assert path.read_bytes() == b"conuent"
            during = path.stat()
            assert (during.st_size, during.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        assert path.read_bytes() == b"content"
        async with lab.bit_flip(alpha, path):
            path.unlink()
            path.write_bytes(b"replaced")
        assert path.read_bytes() == b"replaced", "what replaced it is let alone"

    in_lab(body)


def test_a_fault_can_last_until_the_end(in_lab: InLab, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        path = alpha.games_dir / "file"
        path.write_bytes(b"content")
        await lab.until_end(lab.bit_flip(alpha, path))
        await lab.until_end(lab.stopped(alpha))

    in_lab(body)
    assert (tmp_path / "peers/alpha/games/file").read_bytes() == b"content"
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    faults = [entry for entry in map(json.loads, lines) if entry["kind"] == "fault"]
    written = [(fault["fault"], fault["phase"]) for fault in faults]
    began = [("bit-flip", "begin"), ("stop", "begin")]
    assert written == [*began, ("stop", "end"), ("bit-flip", "end"), ("close-stdin", "instant")]


def test_no_process_outlives_a_lab_that_fails(in_lab: InLab) -> None:
    pids: list[int] = []

    async def body(lab: Lab) -> None:
        for name in ("alpha", "bravo"):
            peer = await lab.peer(name)
            await peer.freeze()
            pids.append(peer.session.process.process.pid)  # type: ignore[attr-defined]
        raise ValueError("a mistake in the scenario")

    with pytest.raises(ValueError, match="a mistake"):
        in_lab(body)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_history_has_all_that_happened(in_lab: InLab, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        lab.note("a step")
        await alpha.command("echo", text="x")
        await alpha.kill()

    in_lab(body)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    kinds = [entry["kind"] for entry in entries]
    assert kinds == ["start", "record", "note", "command", "record", "record", "fault", "exit"]
    times = [entry["t_us"] for entry in entries]
    assert times == sorted(times)
    assert entries[3]["command"] == {"id": 1, "cmd": "echo", "text": "x"}
