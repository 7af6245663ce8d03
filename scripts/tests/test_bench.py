"""The arithmetic of the benchmark, and the costs of processes, without namespaces or root."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from lanspread_bench import streamed
from lanspread_bench.contents import differs, files_of, size_of
from lanspread_bench.errors import BenchError
from lanspread_bench.figures import MIB, Results, Sample, table, to_json
from lanspread_bench.processes import Cost, processes
from lanspread_bench.streamed import Step, Streamed
from lanspread_bench.suites import AGAINST, SUITES

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
    for suites in SUITES.values():
        for suite in suites:
            assert set(suite.against) <= set(AGAINST)
            assert suite.with_reference or "quic" in suite.against


def test_a_stream_is_held_against_the_larger_of_its_halves() -> None:
    def step(seconds: float, source_cpu_s: float, disk_mib: int = 0) -> Step:
        return Step(seconds, Cost(source_cpu_s, 30 * MIB), Cost(1.0, 40 * MIB), disk_mib * MIB)

    made = Streamed(
        "a cable",
        archive_bytes=40 * MIB,
        installed_bytes=100 * MIB,
        # The machine was half as fast in the second round.
        steps={
            "download": [step(1.0, 0.4, 40), step(2.0, 0.4, 40)],
            "unpack": [step(5.0, 4.0), step(10.0, 4.0)],
            "stream": [step(5.5, 5.5, 101), step(11.0, 5.5, 102)],
        },
    )
    assert made.time_ratios() == pytest.approx([1.1, 1.1])
    # Sending 100 MiB costs what sending 40 MiB does, two and a half times.
    assert made.cpu_ratios() == pytest.approx([1.1, 1.1])
    assert made.disk_ratio() == pytest.approx(1.02)
    lines = streamed.table(made).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if "|" in line}
    assert [cell.strip() for cell in cells["stream"]] == ["8.25", "5.50", "1.00", "30", "40", "102"]
    assert json.loads(json.dumps(to_json([], {}, [streamed.to_json(made)])))["suites"]
