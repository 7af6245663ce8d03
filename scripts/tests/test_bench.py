"""The arithmetic of the benchmark, and the costs of processes, without namespaces or root."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lanspread_bench import streamed
from lanspread_bench.contents import differs, files_of, size_of
from lanspread_bench.contestants import straggler
from lanspread_bench.contestants.straggler import Approach
from lanspread_bench.errors import BenchError
from lanspread_bench.figures import MIB, Results, Sample, sampled, table, to_json
from lanspread_bench.processes import Cost, processes
from lanspread_bench.run_directory import PREFIX, run_directory
from lanspread_bench.streamed import Step, Streamed
from lanspread_bench.suites import AGAINST, BY_NAME, SUITES
from lanspread_harness.identity import runner_identity

if TYPE_CHECKING:
    from pathlib import Path


def sample(seconds: float, sync_seconds: float = 0.0, *, sent: int | None = None) -> Sample:
    return Sample(
        bytes=100 * MIB,
        seconds=seconds,
        sync_seconds=sync_seconds,
        sources=Cost(0.2, 10 * MIB),
        receivers=Cost(0.4, 20 * MIB),
        seed_bytes_sent=sent,
    )


def results() -> Results:
    made = Results("single", "a cable", "ours")
    # The machine was half as fast in the second round.
    for number, slowness in enumerate((1.0, 2.0, 1.0)):
        made.add("ours", number, sample(1.0 * slowness))
        made.add("theirs", number, sample(3.0 * slowness, 1.0 * slowness, sent=50 * MIB))
    made.absent["other"] = "it is not installed"
    return made


def test_ratios_compare_the_same_round() -> None:
    made = results()
    assert made.ratios("theirs") == pytest.approx([3.0, 3.0, 3.0])
    assert made.ratios("theirs", durable=True) == pytest.approx([4.0, 4.0, 4.0])


def test_a_round_that_one_did_not_finish_gives_no_ratio() -> None:
    made = results()
    del made.samples["theirs"][1]
    assert len(made.ratios("theirs")) == 2
    assert made.ratios("nobody") == []


def test_the_table_has_medians_and_names_who_is_absent() -> None:
    lines = table(results()).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if "|" in line}
    assert [cell.strip() for cell in cells["ours"]][:4] == ["100", "50–100", "100", "1.00"]  # noqa: RUF001
    assert [cell.strip() for cell in cells["theirs"]][-3:] == ["50 MiB", "3.00", "4.00"]
    assert lines[-1] == "other: no figures: it is not installed"
    assert len({len(line) for line in lines if line.startswith("|")}) == 1


def test_the_json_has_every_sample() -> None:
    document = json.loads(json.dumps(to_json([results()], {"cpus": 2})))
    (suite,) = document["suites"]
    theirs = suite["contestants"]["theirs"]
    assert len(theirs["rounds"]) == 3
    assert theirs["rounds"][0]["seed_bytes_sent"] == 50 * MIB
    assert theirs["reference_is_times_as_fast"] == pytest.approx(3.0)
    assert theirs["median"]["receiver_cpu_s_per_gib"] == pytest.approx(4.096)
    assert suite["absent"] == {"other": "it is not installed"}


def test_who_fails_later_keeps_the_figures_of_the_rounds_before() -> None:
    made = results()
    made.absent["theirs"] = "round 4: it crashed"
    made.missed.append("ours: nothing in round 5: too fast")
    lines = table(made).splitlines()
    assert lines[-2:] == [
        "theirs: no further figures: round 4: it crashed",
        "ours: nothing in round 5: too fast",
    ]


def test_a_suite_without_its_reference_has_no_ratios_and_valid_json() -> None:
    made = results()
    del made.samples["ours"]
    document = json.dumps(to_json([made], {}), allow_nan=False)
    theirs = json.loads(document)["suites"][0]["contestants"]["theirs"]
    assert theirs["reference_is_times_as_fast"] is None
    assert "nan" not in table(made)


def test_figures_of_one_suite_have_columns_of_their_own() -> None:
    made = Results("limits", "a cable", "ours", columns=(sampled("off %", "off_percent"),))
    for number, off in enumerate((-1.0, 0.5, -0.25)):
        made.add("ours", number, replace(sample(1.0), figures={"off_percent": off}))
        made.add("theirs", number, sample(1.0))
    ours, theirs = (line for line in table(made).splitlines() if line[2:6] in ("ours", "thei"))
    assert ours.split("|")[-2].strip() == "-0.25 (-1.00 to 0.50)"
    assert theirs.split("|")[-2].strip() == ""
    contestants = to_json([made], {})["suites"][0]["contestants"]  # type: ignore[index]
    assert contestants["ours"]["figures"] == {
        "off_percent": {"median": -0.25, "rounds": [-1.0, 0.5, -0.25]}
    }


def test_a_straggler_is_compared_within_its_round_and_its_build() -> None:
    made = Results("straggler-50", "a switch", "undisturbed", columns=straggler.COLUMNS)
    for build, slowness in (("", 1.0), ("other: ", 2.0)):
        for row, seconds, received in (
            ("undisturbed", 10.0, 104.0),
            ("leaves", 11.0, 104.5),
            ("blackholed", 12.0, 106.0),
        ):
            figures = {"received_percent": received, "struck_at_percent": 50.0}
            one = replace(sample(seconds * slowness), figures=figures)
            made.add(f"{build}{row}", 0, one)

    def of(name: str) -> dict[str, list[float]]:
        return {column.key: made.figures(column, name) for column in straggler.COLUMNS}

    assert of("blackholed")["longer_than_none_s"] == [2.0]
    assert of("blackholed")["longer_than_none_percent"] == pytest.approx([20.0])
    assert of("other: blackholed")["longer_than_leaves_s"] == [2.0]
    assert of("blackholed")["duplicates_percent"] == pytest.approx([2.0])
    assert of("leaves")["longer_than_leaves_s"] == []
    assert of("undisturbed")["longer_than_none_s"] == of("undisturbed")["duplicates_percent"] == []


def test_a_share_is_foreseen_between_two_reports() -> None:
    approach = Approach(0.5)
    assert approach.due_at() is None
    approach.note(10.0, 0.2, 1.0)
    assert approach.due_at() is None, "another report comes before"
    approach.note(10.1, 0.4, 1.0)
    assert approach.due_at() == pytest.approx(10.2)
    approach.note(10.2, 0.4, 0.0)
    assert approach.due_at() is None, "it stands still"
    approach.note(11.0, 0.6, 0.5)
    assert approach.due_at() == 11.0
    assert approach.share_at(10.05) == pytest.approx(0.3)
    assert approach.share_at(10.6) == pytest.approx(0.5)
    assert approach.share_at(12.0) == 0.6


def test_a_share_is_waited_for_until_a_report_has_it() -> None:
    async def body() -> None:
        approach = Approach(0.5)
        waiting = asyncio.create_task(approach.reached())
        for share in (0.1, 0.2, 0.55):
            await asyncio.sleep(0)
            assert not waiting.done()
            approach.note(time.monotonic(), share, 0.0)
        await waiting

    asyncio.run(body())


def test_directories_of_killed_runs_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}{runner_identity()}0" / "content").mkdir(parents=True)
    with run_directory(tmp_path) as directory:
        assert list(tmp_path.iterdir()) == [directory]
        with pytest.raises(FileExistsError), run_directory(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_copy_is_compared_byte_by_byte(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    for root in (original, copy):
        (root / "sub").mkdir(parents=True)
        (root / "sub" / "file").write_bytes(b"x" * 10)
        (root / "empty").write_bytes(b"")
    (copy / "more").write_bytes(b"more")
    assert [str(path) for path in files_of(original)] == ["empty", "sub/file"]
    assert size_of(original) == 10
    assert differs(original, copy) is None
    (copy / "sub" / "file").write_bytes(b"x" * 9 + b"y")
    assert differs(original, copy) == "sub/file has other bytes"
    (copy / "empty").unlink()
    assert differs(original, copy) == "empty is missing"


def test_the_cost_of_a_process_counts_its_children(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    fill = "b = b'x' * (64 << 20)"
    script = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n{fill}\nprint('done', flush=True)\n"
        "sys.stdin.read()"
    )

    async def measure() -> tuple[Cost, str]:
        async with processes(tmp_path) as started:
            process = await started.start("burner", [sys.executable, "-c", script])
            said = await process.line()
            return process.cost(), said

    cost, said = asyncio.run(measure())
    assert said == "done"
    assert cost.cpu_s >= 0.2
    assert cost.peak_rss_bytes >= 64 * MIB


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    async def fail() -> None:
        async with processes(tmp_path) as started:
            process = await started.start("failing", ["sh", "-c", "echo because >&2; exit 3"])
            await process.succeeded()

    with pytest.raises(BenchError, match="failing ended with 3: because"):
        asyncio.run(fail())


def test_every_suite_is_held_against_known_contestants() -> None:
    for name, suites in SUITES.items():
        assert BY_NAME[name] == suites, "a table of the same name does not stand for all"
        for suite in suites:
            assert set(suite.against) <= set(AGAINST)
            assert suite.with_reference or suite.reference in suite.against
            assert suite.name in BY_NAME


def test_a_stream_is_held_against_what_it_replaces_and_what_it_does_at_once() -> None:
    def step(seconds: float, source_cpu_s: float) -> Step:
        return Step(seconds, Cost(source_cpu_s, 30 * MIB), Cost(1.0, 40 * MIB))

    made = Streamed(
        "a cable",
        archive_bytes=40 * MIB,
        installed_bytes=100 * MIB,
        disk_peak_bytes=102 * MIB,
        # The machine was half as fast in the second round.
        steps={
            "download": [step(1.0, 0.4), step(2.0, 0.4)],
            "unpack": [step(5.0, 4.0), step(10.0, 4.0)],
            "transfer": [step(5.5, 1.0), step(11.0, 1.0)],
            "stream": [step(6.6, 5.5), step(13.2, 5.5)],
        },
    )
    assert made.over_download_or_unpack() == pytest.approx([1.32, 1.32])
    assert made.over_transfer_or_unpack() == pytest.approx([1.2, 1.2])
    assert made.cpu_ratios() == pytest.approx([1.1, 1.1])
    assert made.disk_ratio() == pytest.approx(1.02)
    lines = streamed.table(made).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if "|" in line}
    assert [cell.strip() for cell in cells["stream"]] == ["9.90", "5.50", "1.00", "30", "40"]
    assert "time of a stream: 1.32 x the longer of download and unpack" in lines
    assert "time of a stream: 1.20 x the longer of transfer and unpack" in lines
    assert json.loads(json.dumps(to_json([], {}, [streamed.to_json(made)])))["suites"]
