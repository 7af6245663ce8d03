"""Whether something grows is read from samples: what settles is flat, what leaks is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.errors import ExpectationError
from lanspread_harness.soak import (
    GROWS_MOST,
    Recorder,
    Sample,
    describe,
    expect_flat,
    growth,
    sample,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import InLab

    from lanspread_harness.lab import Lab

TIMES = range(0, 600, 5)


def samples(rss_mib: list[float], threads: int = 9, files: int = 40) -> list[Sample]:
    return [Sample(float(at), mib, threads, files) for at, mib in zip(TIMES, rss_mib, strict=True)]


def test_what_fills_at_first_and_goes_up_and_down_is_flat() -> None:
    grown = growth(samples([min(at, 100) + (at // 5 % 2) * 20.0 for at in TIMES]))
    assert grown is not None
    assert abs(grown.rss_mib) < GROWS_MOST.rss_mib / 4
    expect_flat("alpha", grown)


def test_what_leaks_is_not_flat() -> None:
    grown = growth(samples([40 + at * 0.1 for at in TIMES]))
    assert grown is not None
    assert grown.rss_mib == pytest.approx(40, abs=1)
    with pytest.raises(ExpectationError, match="the memory in MiB of alpha grow by no more than"):
        expect_flat("alpha", grown)


def test_threads_and_files_count_as_well() -> None:
    leaking = [Sample(float(at), 40, 9, 40 + at // 10) for at in TIMES]
    grown = growth(leaking)
    assert grown is not None
    with pytest.raises(ExpectationError, match="open files"):
        expect_flat("alpha", grown)


def test_too_few_samples_say_nothing() -> None:
    assert growth([]) is None
    assert growth(samples([40.0] * len(TIMES))[:60]) is None


def test_samples_are_of_the_process_and_can_be_read_again(in_lab: InLab, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        taken = sample(alpha, 1.0)
        assert taken.rss_mib > 1
        assert taken.threads >= 1
        assert taken.files >= 3
        recorder = Recorder(alpha)
        recording = asyncio.create_task(recorder.record())
        await alpha.command("echo", number=1)
        recording.cancel()
        recorder.write(tmp_path / "alpha.csv")
        head, first = (tmp_path / "alpha.csv").read_text().splitlines()
        assert (head, first[:3]) == ("s,rss_mib,threads,files", "0.0")
        assert "threads" in describe(recorder.samples)

    in_lab(body)
