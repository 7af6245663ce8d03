"""What is shown and kept of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from written_history import BRAVO_ID, WrittenHistory, two_peers

from lanspread_harness.errors import ProtocolError, ScenarioError
from lanspread_harness.evidence import MAX_EVIDENCE_LINES, scenario_error, take_evidence
from lanspread_harness.run_directory import PEERS
from lanspread_harness.timeline.excerpt import (
    MAX_CHARS,
    MAX_LINES,
    format_entry,
    involved_peers,
    select_entries,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_peers_are_those_that_the_failure_names() -> None:
    peers = ["alpha", "bravo", "bravo-2"]
    assert involved_peers(peers, "bravo: event never", ["alpha: no"]) == ["bravo"]
    assert involved_peers(peers, "bravo-2 exits cleanly", []) == ["bravo-2"]
    assert involved_peers(peers, "all is well", ["alpha: no-source: m"]) == ["alpha"]
    assert involved_peers(peers, "two and two is five", ["4"]) == peers


def test_what_tells_most_is_shown_however_long_ago_it_was(tmp_path: Path) -> None:
    history = two_peers()
    history.add(5_600, kind="fault", fault="SIGKILL", peer="alpha", run=1)
    history.add(5_700, kind="exit", peer="alpha", run=1, status="SIGKILL")
    history.error(5_800, "bravo", 4_600, 9, "no-source")
    for number in range(100):
        history.event(6_000 + number, "bravo", 4_800 + number, "peer-updated", number=number)
    history.add(7_000, kind="failure", expectation="bravo: never")
    history.event(7_101, "bravo", 6_100, "too-late")
    timeline = history.read(tmp_path)
    chosen = select_entries(timeline, ["bravo"])
    names = [entry.name for entry in chosen]
    assert len(chosen) == MAX_LINES
    # The question without an answer, the fault, the error, and then the latest of the rest.
    assert names[:3] == ["download", "SIGKILL", "no-source"]
    assert set(names[3:]) == {"peer-updated"}
    assert chosen[-1].body["number"] == 99
    assert "SIGKILL" in [entry.name for entry in select_entries(timeline, ["alpha"])]


def test_a_line_is_bounded(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(10, "alpha", 1, "long", text="x" * 10_000)
    [entry] = history.read(tmp_path).entries
    assert len(format_entry(entry, {})) == MAX_CHARS


def test_a_fault_is_shown_with_what_it_is_made_of(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.add(10, kind="fault", fault="kill", phase="instant", id=1, peer="alpha", detail={})
    history.add(20, kind="fault", fault="loss", phase="begin", id=2, peer="alpha", detail={"p": 5})
    lines = [format_entry(entry, {}) for entry in history.read(tmp_path).entries]
    assert lines[0].endswith("alpha    fault    kill")
    assert lines[1].endswith('fault    loss {"phase": "begin", "detail": {"p": 5}}')


def test_ids_are_shown_as_names(tmp_path: Path) -> None:
    history = two_peers()
    history.event(6_000, "alpha", 5_000, "peer-lost", peer_id=BRAVO_ID)
    timeline = history.read(tmp_path)
    line = format_entry(timeline.entries[-1], timeline.names)
    assert line.endswith('alpha    event    peer-lost {"peer_id": "bravo"}')


def test_a_failure_is_kept_with_its_records_and_disks(tmp_path: Path) -> None:
    directory = tmp_path / "S07"
    two_peers().write(directory)
    (directory / PEERS / "bravo").mkdir(parents=True)
    (directory / PEERS / "bravo" / "file").write_bytes(b"1234")
    error = ScenarioError("bravo: done", [f"line {n}" for n in range(99)])
    evidence = take_evidence(directory, error, "run it")
    assert evidence.failure is not None
    assert evidence.timeline is not None
    assert evidence.failure.report == f"{tmp_path}/report.html#S07"
    assert len(evidence.failure.lines) <= MAX_EVIDENCE_LINES + 1 + MAX_LINES
    text = (directory / "failure.txt").read_text()
    assert text.startswith("bravo: done\nline 0\n")
    assert "line 98" in text
    assert "download-begin" in text
    assert (directory / "disk.txt").read_text() == "peers/bravo/\npeers/bravo/file 4\n"


def test_a_lab_that_never_opened_leaves_what_its_error_has(tmp_path: Path) -> None:
    evidence = take_evidence(tmp_path, ScenarioError("it opens", records=["r"]), "run it")
    assert evidence.failure is not None
    assert evidence.failure.records == ("r",)
    assert evidence.timeline is None


def test_a_broken_rule_explains_what_was_waited_for_in_vain() -> None:
    broken = ProtocolError("2", about="the next seq")
    group = ExceptionGroup("g", [ScenarioError("waited"), ExceptionGroup("h", [broken])])
    assert scenario_error(group) is broken
    assert scenario_error(ExceptionGroup("g", [KeyError("k")])).evidence[-1] == "KeyError: 'k'"
