"""The scenario files, their index, and the command line that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lanspread_harness.cli import SCENARIOS, main
from lanspread_harness.errors import HarnessError, UsageError
from lanspread_harness.scenario import discover, select
from lanspread_harness.scenario_index import render_index

if TYPE_CHECKING:
    from pathlib import Path


def test_the_index_is_current() -> None:
    index = (SCENARIOS / "README.md").read_text(encoding="utf-8")
    assert index == render_index(discover(SCENARIOS)), "run python3 scripts/scenario_index.py"


def test_scenarios_never_sleep() -> None:
    for path in SCENARIOS.glob("*.py"):
        assert "sleep" not in path.read_text(encoding="utf-8"), path


def test_scenarios_are_selected_by_id() -> None:
    scenarios = discover(SCENARIOS)
    assert [s.id for s in select(scenarios, ["s22", "S01", "s22"])] == ["S22", "S01"]
    assert select(scenarios, [], long=True) == scenarios
    with pytest.raises(UsageError, match="S99"):
        select(scenarios, ["S99"])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("s1_short.py", "", "not named"),
        ("s01_bare.py", "async def scenario(lab): ...", "lacks a docstring"),
        ("s01_empty.py", '"""A promise."""', "lacks"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(HarnessError, match=reason):
        discover(tmp_path)


def test_two_files_of_one_id_are_refused(tmp_path: Path) -> None:
    for name in ("s01_one.py", "s01_two.py"):
        (tmp_path / name).write_text('"""A promise."""\nasync def scenario(lab): ...\n')
    with pytest.raises(HarnessError, match="both S01"):
        discover(tmp_path)


def test_exit_codes_without_a_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--list"]) == 0
    assert "S01" in capsys.readouterr().out
    assert main(["S99"]) == 2
    with monkeypatch.context() as bare:
        bare.setenv("PATH", "")
        bare.setattr("lanspread_harness.system_programs.SYSTEM_DIRECTORIES", ())
        assert main(["S01", "--backend", "netns"]) == 3
    assert "ip is not installed (package iproute2)" in capsys.readouterr().err
    for bad in (["--backend", "cloud"], ["--jobs", "0"], ["--jobs", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(bad)
        assert caught.value.code == 2
