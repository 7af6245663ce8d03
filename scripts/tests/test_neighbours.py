"""The kernel's table of neighbours is made larger while somebody needs it, and only then."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from lanspread_harness import neighbours
from lanspread_harness.neighbours import LIMITS, RUNS, room_for_neighbours

if TYPE_CHECKING:
    from pathlib import Path

BRIDGE = "198.18.0.10:1"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in zip(LIMITS, (512, 1024), strict=True):
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setattr(neighbours, "SETTINGS", tmp_path)
    monkeypatch.setattr(neighbours, "STATE", tmp_path / "state")
    return tmp_path


def limits(settings: Path) -> list[int]:
    return [int((settings / name).read_text()) for name in LIMITS]


def test_the_last_to_leave_puts_the_limits_back(settings: Path) -> None:
    raised = [50 * 49 * RUNS] * 2
    with ExitStack() as others:
        with room_for_neighbours(50, BRIDGE):
            assert limits(settings) == raised
            others.enter_context(room_for_neighbours(50, BRIDGE))
        assert limits(settings) == raised
    assert limits(settings) == [512, 1024]


def test_what_a_killed_one_left_is_put_back_by_the_next(settings: Path) -> None:
    (settings / "state").write_text('{"gc_thresh2": 512, "gc_thresh3": 1024}')
    (settings / "gc_thresh3").write_text("99999")
    with room_for_neighbours(50, BRIDGE):
        assert limits(settings) == [50 * 49 * RUNS, 99999]
    assert limits(settings) == [512, 1024]


def test_few_peers_and_loopback_need_nothing(settings: Path) -> None:
    for peers, addr in ((5, BRIDGE), (50, "127.0.0.1:1"), (50, "[::1]:1")):
        with room_for_neighbours(peers, addr):
            assert limits(settings) == [512, 1024]
