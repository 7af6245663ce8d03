"""What a history tells, and at what times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from written_history import ALPHA_ID, WrittenHistory, two_peers

from lanspread_harness.timeline import Clock, Kind, read_timeline

if TYPE_CHECKING:
    from pathlib import Path


def test_records_are_placed_at_the_times_of_their_peer(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.start(40, "alpha", asked_us=0)
    # The clock began at 20. The first record was 500 late, the second 5, the third 100.
    history.event(1_020, "alpha", 500, "a")
    history.event(1_025, "alpha", 1_000, "b")
    history.event(1_220, "alpha", 1_100, "c")
    timeline = history.read(tmp_path)
    assert [(e.name, e.at_us) for e in timeline.entries[1:]] == [
        ("a", 525),
        ("b", 1_025),
        ("c", 1_125),
    ]
    assert all(entry.at_us <= entry.logged_us for entry in timeline.entries)
    assert timeline.runs[0].clock == Clock(offset_us=25, error_us=25)


def test_an_answer_bounds_the_error_by_its_command(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.start(40, "alpha", asked_us=0)
    history.command(1_000, "alpha", 1, "status")
    # The answer shows 985, so that the clock cannot have begun before 15.
    history.result(1_030, "alpha", 985, 1, "status")
    history.event(2_020, "alpha", 2_000, "later")
    [run] = history.read(tmp_path).runs
    assert run.clock == Clock(offset_us=20, error_us=5)


def test_ids_that_look_alike_are_two_commands(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.command(1_000, "alpha", "1", "status")
    history.command(5_000, "alpha", 1, "status")
    history.result(5_100, "alpha", 100, 1, "status")
    history.error(5_200, "alpha", 200, "1", "no")
    commands = history.read(tmp_path).commands
    assert [(c.sent.data["id"], c.outcome, c.duration_us) for c in commands] == [
        ("1", "no", 4_200),
        (1, "ok", 100),
    ]


def test_clocks_that_contradict_each_other_claim_nothing(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.command(1_000, "alpha", 1, "status")
    history.result(1_010, "alpha", 100, 1, "status")
    history.event(2_000, "alpha", 2_000, "ran-ahead")
    [run] = history.read(tmp_path).runs
    assert run.clock == Clock(offset_us=0, error_us=None)


def test_each_run_of_a_peer_has_a_clock_of_its_own(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(100, "alpha", 90, "a")
    history.add(200, peer="alpha", run=1, kind="exit", status="SIGKILL")
    history.event(1_000, "alpha", 90, "b", run=2)
    timeline = history.read(tmp_path)
    assert [(r.run, r.clock.offset_us, r.end_us, r.status) for r in timeline.runs if r.clock] == [
        (1, 10, 200, "SIGKILL"),
        (2, 910, None, None),
    ]


def test_an_operation_lasts_from_its_first_to_its_last_event(tmp_path: Path) -> None:
    history = two_peers()
    sources = [{"peer_id": ALPHA_ID, "bytes": 30}]
    history.event(
        6_000, "bravo", 4_900, "download-finished", game_id="quake", bytes=30, sources=sources
    )
    [operation] = history.read(tmp_path).operations
    assert (operation.peer, operation.name, operation.game) == ("bravo", "download", "quake")
    assert (operation.begin_us, operation.end_us) == (2_300, 5_900)
    assert (operation.outcome, operation.bytes) == ("finished", 30)
    assert (operation.begin, operation.end) == (6, 10)


def test_a_transfer_counts_what_is_new_in_each_record(tmp_path: Path) -> None:
    history = two_peers()
    [transfer] = history.read(tmp_path).transfers
    assert (transfer.source, transfer.receiver, transfer.bytes) == ("alpha", "bravo", 25)
    assert [(sample.at_us, sample.bytes) for sample in transfer.samples] == [
        (3_300, 10),
        (5_300, 15),
    ]


def test_a_source_outside_the_lab_keeps_its_id(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(10, "bravo", 0, "download-begin", game_id="g")
    sources = [{"peer_id": "stranger", "bytes": 4}]
    history.event(20, "bravo", 10, "download-finished", game_id="g", sources=sources)
    assert [t.source for t in history.read(tmp_path).transfers] == ["stranger"]


def test_operations_end_with_their_peer_or_with_the_history(tmp_path: Path) -> None:
    history = two_peers()
    history.event(5_600, "alpha", 5_100, "install-begin", game_id="doom")
    history.add(7_000, peer="bravo", run=1, kind="exit", status="SIGKILL")
    history.add(9_000, kind="note", text="the end")
    operations = history.read(tmp_path).operations
    assert [(o.name, o.outcome, o.end_us) for o in operations] == [
        ("download", "interrupted", 7_000),
        ("install", "unfinished", 9_000),
    ]


def test_an_update_is_told_from_a_download(tmp_path: Path) -> None:
    history = WrittenHistory()
    active = [{"game_id": "quake", "operation": "updating"}]
    history.event(10, "alpha", 0, "local-games-updated", active_operations=active)
    history.event(20, "alpha", 10, "download-begin", game_id="quake")
    history.event(30, "alpha", 20, "local-games-updated", active_operations=[])
    history.event(40, "alpha", 30, "download-failed", game_id="quake", error={"code": "disk-full"})
    history.event(50, "alpha", 40, "download-begin", game_id="quake")
    history.event(60, "alpha", 50, "download-cancelled", game_id="quake")
    operations = history.read(tmp_path).operations
    assert [(o.name, o.outcome, o.code) for o in operations] == [
        ("update", "failed", "disk-full"),
        ("download", "cancelled", None),
    ]


def test_an_operation_may_end_before_it_begins(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(
        40, "alpha", 30, "stream-install-failed", game_id="g", error={"code": "no-source"}
    )
    [operation] = history.read(tmp_path).operations
    assert (operation.name, operation.begin, operation.duration_us) == ("stream-install", None, 0)


def test_faults_last_from_begin_to_end(tmp_path: Path) -> None:
    history = WrittenHistory()
    both = ["alpha", "bravo"]
    history.add(10, kind="fault", fault="partition", id=3, phase="begin", peers=both, detail={})
    history.add(20, kind="fault", fault="SIGSTOP", peer="alpha", run=1)
    history.add(30, kind="fault", fault="bit-flip", id=4, phase="instant", peer="bravo")
    history.add(40, kind="fault", fault="partition", id=3, phase="end", peers=both, detail={})
    history.add(50, kind="fault", fault="SIGCONT", peer="alpha", run=1)
    history.add(60, kind="fault", fault="loss", id=5, phase="begin", peer="alpha", detail={"p": 5})
    history.add(70, kind="note", text="the end")
    faults = history.read(tmp_path).faults
    assert [(f.name, f.peers, f.begin_us, f.end_us) for f in faults] == [
        ("partition", ("alpha", "bravo"), 10, 40),
        ("SIGSTOP", ("alpha",), 20, 50),
        ("bit-flip", ("bravo",), 30, None),
        ("loss", ("alpha",), 60, 70),
    ]
    assert faults[3].detail == {"p": 5}


def test_a_stopped_peer_that_is_killed_is_stopped_until_then(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.add(20, kind="fault", fault="SIGSTOP", peer="alpha", run=1)
    history.add(50, kind="exit", peer="alpha", run=1, status="SIGKILL")
    history.add(90, kind="note", text="the end")
    assert [fault.end_us for fault in history.read(tmp_path).faults] == [50]


def test_a_fault_of_a_process_ends_with_it(tmp_path: Path) -> None:
    history = WrittenHistory()
    bad = {"outbound": {"loss_percent": 5, "seed": None}, "inbound": {}, "one_way": True}
    stop = {"fault": "stop", "phase": "begin", "peer": "alpha", "detail": {"why": "to see"}}
    history.add(20, kind="fault", id=1, run=1, **stop)
    history.add(30, kind="fault", id=2, fault="shape", phase="begin", peer="alpha", detail=bad)
    history.add(50, kind="exit", peer="alpha", run=1, status="SIGKILL")
    history.add(90, kind="note", text="the end")
    faults = history.read(tmp_path).faults
    assert [(fault.title, fault.end_us) for fault in faults] == [
        ("stop, why to see", 50),
        ("shape, outbound loss_percent 5, one_way", 90),
    ]


def test_what_cannot_be_read_is_counted_and_left_out(tmp_path: Path) -> None:
    history = two_peers()
    path = history.write(tmp_path)
    whole = len(read_timeline(path).entries)
    text = path.read_bytes()
    path.write_bytes(text[:-20] + b"\n[1]\n\x00\x00\xff")
    timeline = read_timeline(path)
    assert (len(timeline.entries), timeline.unreadable) == (whole - 1, 3)


def test_an_empty_history_is_a_timeline(tmp_path: Path) -> None:
    timeline = WrittenHistory().read(tmp_path)
    assert (timeline.entries, timeline.peers, timeline.end_us) == ([], [], 0)


def test_fields_of_another_type_count_as_absent(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.add(1, peer="alpha", run="x", kind="record", record=[])
    history.event(2, "alpha", 1, "download-progress", game_id=7, sources="all")
    history.event(3, "alpha", 2, "download-begin", game_id="g", bytes="many")
    history.event(4, "alpha", 3, "download-progress", game_id="g", sources=[1, {"bytes": True}])
    timeline = history.read(tmp_path)
    assert [entry.kind for entry in timeline.entries] == [
        Kind.OTHER,
        Kind.PROGRESS,
        Kind.EVENT,
        Kind.PROGRESS,
    ]
    assert timeline.transfers == []
