"""The kernel's ARP table is made larger while somebody needs it, and only then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import FAKE_PEER

from lanspread_harness import arp_limits
from lanspread_harness.arp_limits import LIMITS, MAX_LABS, raise_arp_limits
from lanspread_harness.backends.docker import DockerHost, Network
from lanspread_harness.backends.netns import NetnsHost
from lanspread_harness.backends.process import ProcessHost
from lanspread_harness.binary_under_test import BinaryUnderTest
from lanspread_harness.errors import EnvironmentLackingError

PROGRAM = BinaryUnderTest(FAKE_PEER)
CONTAINERS = DockerHost("lab", Network("198.18.0", "br"), Path(), "image", [])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in zip(LIMITS, (512, 1024), strict=True):
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setattr(arp_limits, "SETTINGS", tmp_path)
    monkeypatch.setattr(arp_limits, "STATE", tmp_path / "state")
    return tmp_path


def limits(settings: Path) -> list[int]:
    return [int((settings / name).read_text()) for name in LIMITS]


def test_the_last_to_leave_puts_the_limits_back(settings: Path) -> None:
    raised = [50 * 49 * MAX_LABS] * 2
    with ExitStack() as others:
        with raise_arp_limits(50, CONTAINERS):
            assert limits(settings) == raised
            others.enter_context(raise_arp_limits(50, CONTAINERS))
        assert limits(settings) == raised
    assert limits(settings) == [512, 1024]


def test_what_a_killed_one_left_is_put_back_by_the_next(settings: Path) -> None:
    (settings / "state").write_text('{"gc_thresh2": 512, "gc_thresh3": 1024}')
    (settings / "gc_thresh3").write_text("99999")
    with raise_arp_limits(50, CONTAINERS):
        assert limits(settings) == [50 * 49 * MAX_LABS, 99999]
    assert limits(settings) == [512, 1024]


def test_who_may_not_raise_them_is_told_what_to_set(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refused)
    wanted = f"gc_thresh3={50 * 49 * MAX_LABS}"
    monkeypatch.setattr(arp_limits, "_read_limits", lambda: {"gc_thresh3": 1024})
    with (
        pytest.raises(EnvironmentLackingError, match=wanted),
        raise_arp_limits(50, CONTAINERS),
    ):
        pytest.fail("there is no room")
    assert not (settings / "state").exists()


def test_what_is_refused_to_the_scenario_is_not_taken_for_a_lack_of_room(settings: Path) -> None:
    refused = PermissionError("a file of the scenario")
    with pytest.raises(PermissionError) as caught, raise_arp_limits(50, CONTAINERS):
        raise refused
    assert caught.value is refused
    assert limits(settings) == [512, 1024]


def test_few_peers_need_nothing(settings: Path) -> None:
    with raise_arp_limits(5, CONTAINERS):
        assert limits(settings) == [512, 1024]


def test_peers_that_are_told_or_on_loopback_need_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a network namespace of the runner's own there is not even a limit to be read.
    monkeypatch.setattr(arp_limits, "SETTINGS", tmp_path / "missing")
    for host in (ProcessHost(PROGRAM, [], None), NetnsHost("lab", "198.18.0", PROGRAM, [])):
        with raise_arp_limits(50, host):
            pass
