"""The trace tool on runs that were kept, that failed, and that were killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from written_history import two_peers

from lanspread_harness.trace.cli import main
from lanspread_harness.trace.summary import size

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of which S02 was kept, and S10 failed."""
    two_peers().write(tmp_path / "S02")
    failed = two_peers()
    failed.error(5_900, "bravo", 4_500, 1, "no-source")
    failed.add(6_000, kind="failure", expectation="bravo: download: success")
    failed.write(tmp_path / "S10")
    text = "bravo: download: success\nerror no-source: m\n"
    (tmp_path / "S10" / "failure.txt").write_text(text)
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out.splitlines()


def documents(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines(capsys, *arguments, "--json")]


def test_the_summary_tells_what_happened(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "\n".join(lines(capsys, run, "S02"))
    for part in ("9 entries", "alpha -> bravo  quake  25 B", "download quake"):
        assert part in shown
    assert "S10" not in shown
    first, second = documents(capsys, run)
    assert (first["scenario"], first["failed"]) == ("S02", False)
    assert (second["scenario"], second["failed"]) == ("S10", True)
    transfer = {"source": "alpha", "receiver": "bravo", "game": "quake", "bytes": 25}
    assert first["transfers"] == [transfer]


def test_failures_stand_among_what_was_around_them(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = lines(capsys, run, "--failures", "--context", 2)
    assert shown[0] == "S10  expected: bravo: download: success"
    assert len(shown) == 4
    assert shown[3].startswith(">")
    assert "no-source" in shown[2]
    [document] = documents(capsys, run, "--failures")
    assert (document["scenario"], document["at_us"]) == ("S10", 6_000)
    assert lines(capsys, run, "S02", "--failures") == ["nothing failed"]


def test_around_shows_all_peers_at_the_time_of_a_record(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (run / "S02", "--peer", "bravo", "--around", 1, "--context", 2)
    found = documents(capsys, *arguments)
    assert [(entry["peer"], entry["name"]) for entry in found] == [
        ("alpha", "ready"),
        ("bravo", "start"),
        ("bravo", "ready"),
        ("bravo", "download"),
        ("bravo", "download-begin"),
    ]
    marked = [line for line in lines(capsys, *arguments) if line.startswith(">")]
    assert len(marked) == 1
    assert "ready" in marked[0]


def test_entries_are_chosen_by_peer_event_and_text(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(documents(capsys, run, "s02", "--peer", "alpha")) == 2
    assert len(documents(capsys, run, "--event", "download-begin")) == 2
    assert len(documents(capsys, run, "--grep", "no-so.rce")) == 1
    assert lines(capsys, run, "--event", "never") == []


def test_a_history_of_a_killed_runner_is_read(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = run / "S02" / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-9])
    assert "unreadable lines: 1" in lines(capsys, history)[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "there is no run at"),
        (["."], "holds no history.jsonl"),
        (["run", "S99"], "it has S02, S10"),
        (["run", "--around", "1"], "--around needs --peer"),
        (["run", "--around", "99", "--peer", "bravo"], "printed no record 99"),
        (["run", "--peer", "zulu"], "there are alpha, bravo"),
        (["run", "--grep", "("], "no regular expression"),
        (["run/S10/failure.txt"], "is no history.jsonl"),
        (["run", "--summary", "--event", "e"], "go with none of the others"),
    ],
)
def test_what_is_not_there_is_named(
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    (run / "empty").mkdir()
    monkeypatch.chdir(run / "empty")
    named = [argument.replace("run", str(run), 1) for argument in arguments[:1]]
    assert main([*named, *arguments[1:]]) == 2
    assert complaint in capsys.readouterr().err


def test_sizes_are_rounded_to_be_read() -> None:
    assert [size(n) for n in (0, 1023, 1024, 3 * 2**30, 2**60)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "3.0 GiB",
        "1048576.0 TiB",
    ]
