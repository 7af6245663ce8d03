"""What becomes of programs whose output goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from runner_process import FAILS, PASSES, SCRIPTS, run_runner, runner_command

if TYPE_CHECKING:
    from pathlib import Path

BOTH = {"passes": PASSES, "fails": FAILS}
FULL = "/dev/full"


def left(place: Path) -> tuple[str | None, str | None]:
    """How many tests and failures the run's JUnit has."""
    [junit] = place.glob("out/*/junit.xml")
    suite = ET.parse(junit).getroot().find("testsuite")
    assert suite is not None
    return suite.get("tests"), suite.get("failures")


def without_a_reader(command: list[str], place: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command into a pipe that nobody reads from any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("mode", [[], ["--json"]])
@pytest.mark.parametrize(("scenarios", "status"), [(BOTH, 1), ({"passes": PASSES}, 0)])
def test_a_run_goes_on_when_its_reader_leaves(
    tmp_path: Path, mode: list[str], scenarios: dict[str, str], status: int
) -> None:
    ran = without_a_reader(runner_command(tmp_path, scenarios, *mode), tmp_path)
    assert ran.returncode == status, ran.stderr
    assert left(tmp_path) == (str(len(scenarios)), str(status))
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("mode", [[], ["--json"]])
@pytest.mark.parametrize(("scenarios", "status"), [(BOTH, 1), ({"passes": PASSES}, 0)])
def test_a_run_goes_on_when_its_output_is_full(
    tmp_path: Path, mode: list[str], scenarios: dict[str, str], status: int
) -> None:
    with open(FULL, "w", encoding="utf-8") as full:  # noqa: PTH123
        ran = run_runner(tmp_path, scenarios, *mode, stdout=full)
    assert ran.returncode == status, ran.stderr
    assert left(tmp_path) == (str(len(scenarios)), str(status))
    assert ran.stderr.count("\n") == 1
    assert "standard output cannot be written (No space left on device)" in ran.stderr


def test_a_run_goes_on_when_nothing_can_be_said_at_all(tmp_path: Path) -> None:
    with open(FULL, "w", encoding="utf-8") as full:  # noqa: PTH123
        ran = run_runner(tmp_path, BOTH, stdout=full, stderr=full)
    assert ran.returncode == 1
    assert left(tmp_path) == ("2", "1")


def test_closed_descriptors_are_no_files_of_the_run(tmp_path: Path) -> None:
    script = SCRIPTS / "run_extended_scenarios.py"
    shell = f'exec {sys.executable} {script} S01 --binary "$0" --out out <&- >&- 2>&-'
    ran = subprocess.run(
        ["sh", "-c", shell, sys.executable], cwd=tmp_path, check=False, capture_output=True
    )
    # Python is no peer: there is no schema, which nobody can be told.
    assert ran.returncode == 3


def test_what_cannot_be_listed_is_no_success(tmp_path: Path) -> None:
    with open(FULL, "w", encoding="utf-8") as full:  # noqa: PTH123
        ran = run_runner(tmp_path, BOTH, "--list", stdout=full)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    listed = without_a_reader(runner_command(tmp_path, BOTH, "--list"), tmp_path)
    assert listed.returncode == 0, "whoever reads has seen enough"


def test_other_programs_do_not_depend_on_their_output_either(tmp_path: Path) -> None:
    run_runner(tmp_path, {"fails": FAILS})
    [run] = (tmp_path / "out").glob("*-*")
    trace = [sys.executable, str(SCRIPTS / "trace.py"), str(run)]
    test = [sys.executable, str(SCRIPTS / "test.py"), "ruff-format"]
    with open(FULL, "w", encoding="utf-8") as full:  # noqa: PTH123
        for command, status in ((trace, 1), (test, 0)):
            ran = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
            assert ran.returncode == status, ran.stderr
            assert "Traceback" not in ran.stderr
    for command in (trace, test):
        ended = without_a_reader(command, tmp_path)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ["mutate.py", "peer_cli.py", "bench.py", "scenario_index.py"])
def test_help_that_nobody_reads_is_no_traceback(tmp_path: Path, name: str) -> None:
    ran = without_a_reader([sys.executable, str(SCRIPTS / name), "--help"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert b"Exception ignored" not in ran.stderr


def test_a_terminal_of_another_encoding_shows_escapes(tmp_path: Path) -> None:
    text = PASSES.replace("A peer starts", "A peer — starts")
    ran = run_runner(tmp_path, {"dash": text}, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert ran.returncode == 0, ran.stderr
    assert r"A peer \u2014 starts" in ran.stdout
