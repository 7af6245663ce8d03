"""The command under a failure runs that test again, the same way, from a shell in any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER

from lanspread_harness.cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

TESTS = """
import json
import os
import pathlib
import sys

import pytest

CASES = ["a b", "c[d]", "it's", 'say "x"', "$HOME", "semi;colon", "back\\\\\\\\slash", "ü"]

@pytest.fixture
def told(request, lanspread_session):
    config = request.config
    return {
        "node": request.node.name,
        "seed": lanspread_session.seed,
        "binary": str(lanspread_session.binary),
        "backend": lanspread_session.backend.name,
        "rootdir": str(config.rootpath),
        "inifile": str(config.inipath),
        "custom": config.getoption("--custom"),
        "override": config.getini("junit_suite_name"),
        "python": sys.executable,
        "folder": os.getcwd(),
    }

class TestHere:
    @pytest.mark.parametrize("case", CASES, ids=CASES)
    async def test_it(self, lab, told, case, pytestconfig):
        peer = await lab.peer("alpha")
        told["keeps"] = pytestconfig.getoption("--lanspread-keep")
        with pathlib.Path(told["custom"]).open("a") as file:
            file.write(json.dumps(told) + "\\n")
        assert case == "never"
"""

CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--custom")
"""


class Place:
    """A project with settings of its own, in folders whose names a shell must be told quoted."""

    def __init__(self, top: Path) -> None:
        self.top = top / "it's a project"
        self.tests = self.top / "some tests" / "inner"
        self.tests.mkdir(parents=True)
        self.elsewhere = top / "else where"
        self.elsewhere.mkdir()
        self.record_path = top / "told.jsonl"
        self.peer = top / "a peer" / "fake peer.py"
        self.peer.parent.mkdir()
        shutil.copy(FAKE_PEER, self.peer)
        (self.top / "pytest.ini").write_text("[pytest]\naddopts = -q\n")
        # Who starts pytest with this folder alone would have these settings.
        (self.tests / "pytest.ini").write_text("[pytest]\njunit_suite_name = wrong\n")
        (self.top / "conftest.py").write_text(CONFTEST)
        (self.tests / "test_odd.py").write_text(TESTS)

    def run(self, pytester: pytest.Pytester, folder: Path, *arguments: str) -> list[str]:
        """Run the tests, and return the commands to run them again."""
        options = ("-p", "lanspread_harness.pytest_plugin", "-p", "no:cacheprovider")
        os.chdir(folder)
        result = pytester.runpytest_subprocess(*options, f"--custom={self.record_path}", *arguments)
        prefix = "run again  "
        return [line.removeprefix(prefix) for line in result.outlines if line.startswith(prefix)]

    def records(self) -> list[dict[str, object]]:
        lines = self.record_path.read_text(encoding="utf-8").splitlines()
        self.record_path.unlink()
        return [json.loads(line) for line in lines]


@pytest.fixture
def place(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))
    return Place(pytester.path)


def paste(command: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Run a command in a shell that knows nothing of the one before."""
    with monkeypatch.context() as patch:
        patch.delenv("PYTHONPATH")
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
        )
    return done.stdout + done.stderr


@pytest.mark.parametrize("start", ["top", "inner", "elsewhere"])
def test_it_runs_that_test_the_same_way(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: Place, start: str
) -> None:
    folder, tests = {
        "top": (place.top, ()),
        "inner": (place.tests, ("-c", "../../pytest.ini", "--rootdir", "../..", "test_odd.py")),
        "elsewhere": (place.elsewhere, (os.path.relpath(place.top, place.elsewhere),)),
    }[start]
    binary = os.path.relpath(place.peer, folder)
    commands = place.run(
        pytester, folder, *tests, "-o", "junit_suite_name=mine", f"--lanspread-binary={binary}"
    )
    first = place.records()
    assert len(commands) == len(first) == 8
    # Elsewhere the same quotes stand in it.
    some = slice(None) if start == "top" else slice(2)
    for command, before in zip(commands[some], first[some], strict=True):
        output = paste(command, monkeypatch, pytester.path)
        assert "1 failed" in output, output
        [again] = place.records()
        assert again == {**before, "keeps": True}


def test_it_keeps_the_evidence_it_stands_beside(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    base = pytester.path / "base"
    arguments = ("-k", "semi", "--basetemp", str(base), "--lanspread-binary", str(place.peer))
    [command] = place.run(pytester, place.top, *arguments, "--lanspread-seed", "5", "some tests")
    before = place.records()
    marker = base / "marker"
    marker.touch()
    assert "1 failed" in paste(command, monkeypatch, place.elsewhere)
    assert marker.exists()
    assert [{**record, "keeps": False} for record in place.records()] == before
    assert before[0]["seed"] == 5
