"""Help and wrong usage of a script answer at once, with a bare Python, and install nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS = sorted(path.name for path in (REPOSITORY / "scripts").glob("*.py"))
USED = [name for name in SCRIPTS if name != "bootstrap.py"]

WRONG = {
    "bench.py": ["--rounds", "0"],
    "failpoints.py": ["--no-such"],
    "fuzz.py": ["no-such-target"],
    "lab.py": ["no-such-verb"],
    "mutate.py": ["no-such-mutation"],
    "peer_cli.py": ["run", "no/name"],
    "run_extended_scenarios.py": ["S9999"],
    "scenario_index.py": ["--no-such"],
    "test.py": ["no-such-step"],
    "trace.py": ["out", "--around", "3"],
}


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without `.venv`, in which nothing can be installed or built."""
    checkout = tmp_path_factory.mktemp("bare") / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("scripts", "scenarios"):
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=ignored)
    shutil.copy2(REPOSITORY / "pyproject.toml", checkout)
    return checkout


def run(checkout: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the system's own Python, which has no packages."""
    return subprocess.run(
        [sys.executable, "-S", "-B", str(checkout / "scripts" / name), *arguments],
        cwd=checkout,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_script_has_a_wrong_usage() -> None:
    assert sorted(WRONG) == USED


@pytest.mark.parametrize("name", USED)
@pytest.mark.parametrize("usage", ["help", "option", "value"])
def test_it_installs_nothing(bare: Path, name: str, usage: str) -> None:
    arguments = {"help": ["--help"], "option": ["--no-such-option"], "value": WRONG[name]}[usage]
    done = run(bare, name, *arguments)
    assert done.returncode == (0 if usage == "help" else 2), done.stderr
    assert "usage" in (done.stdout if usage == "help" else done.stderr)
    assert "installing" not in done.stderr
    assert sorted(path.name for path in bare.iterdir()) == [
        "pyproject.toml",
        "scenarios",
        "scripts",
    ]


def test_the_steps_are_listed_with_what_they_check(bare: Path) -> None:
    listing = run(bare, "test.py", "--help").stdout.partition("steps:\n")[2].splitlines()
    names = [line.split()[0] for line in listing]
    wrong = run(bare, "test.py", "no-such-step").stderr
    assert wrong.strip().endswith(f"steps are {', '.join(names)}")
    assert all(len(line.split()) > 2 for line in listing)
