"""The pytest plugin, used as others use it: in tests of their own."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER

from lanspread_harness.build import BINARY_VARIABLE, PACKAGE, build_binary, find_binary
from lanspread_harness.cli import REPOSITORY
from lanspread_harness.errors import EnvironmentLackingError

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

WITH_PLUGIN = ("-p", "lanspread_harness.pytest_plugin", "-p", "no:cacheprovider")

PASSES = """
async def test_it(lab, tmp_path):
    alpha = await lab.peer("alpha")
    assert (await alpha.command("echo", text="x")).text("text") == "x"
    assert tmp_path.is_dir()
"""

FAILS = """
async def test_it(lab):
    alpha = await lab.peer("alpha")
    await alpha.command("echo", text="remember me")
    assert 2 + 2 == 5
"""

SPECIAL = """
import pytest
from lanspread_harness import CommandError

@pytest.mark.lanspread(timeout_s=0.5)
async def test_too_slow(lab):
    await (await lab.peer("alpha")).event("never")

async def test_a_harness_error(lab):
    await (await lab.peer("alpha")).command("refuse")

async def test_a_broken_rule_outside_the_body(lab):
    await lab.peer("unclean")

def test_no_coroutine(lab):
    pass

def test_without_a_lab():
    pass
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    # As one word: of two pytest takes the second for a test, and reads the settings beside it.
    named = any(option.startswith("--lanspread-binary") for option in options)
    binary = () if named else (f"--lanspread-binary={FAKE_PEER}",)
    return pytester.runpytest_subprocess(*WITH_PLUGIN, *binary, *options)


@pytest.fixture(scope="session")
def peer_binary() -> Path:
    """The real one; of the session, since pytester takes the home directory from its tests."""
    return build_binary(REPOSITORY)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))


def test_a_test_runs_in_a_lab(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSES)
    result = run(pytester, "--strict-markers", "--basetemp", "base")
    result.assert_outcomes(passed=1)
    assert not list(pytester.path.glob("base/lab0")), "what passes leaves nothing"


def test_keep_keeps(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSES)
    run(pytester, "--basetemp", "base", "--lanspread-keep").assert_outcomes(passed=1)
    assert list(pytester.path.glob("base/lab0/peers/alpha/games"))
    assert list(pytester.path.glob("base/lab0/history.jsonl"))


def test_a_failure_shows_its_evidence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILS)
    result = run(pytester, "--lanspread-seed", "7", "--basetemp", "base")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*assert (2 + 2) == 5*", "* Captured lanspread call *", "*remember me*"]
    )
    result.stdout.fnmatch_lines(["run again *--lanspread-seed=7 --lanspread-keep"])
    history = pytester.path / "base/lab0/history.jsonl"
    assert history.exists()
    assert not (history.parent / "peers").exists()


def test_every_way_to_fail_is_told_apart(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SPECIAL)
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(["*expected: the test ends within 0.5 s; got: it still runs*"])
    result.stdout.fnmatch_lines(["*CommandError: alpha: refuse: expected success, got error *"])
    result.stdout.fnmatch_lines(["*unclean exits cleanly*"])
    result.stdout.fnmatch_lines(["*must be a plain `async def`*"])


def test_a_missing_binary_is_one_clear_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSES)
    result = run(pytester, "--lanspread-binary=nowhere/peer")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*nowhere/peer does not exist"])


def test_the_binary_is_found_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(directory: str) -> Path:
        path = tmp_path / directory / PACKAGE
        path.parent.mkdir()
        shutil.copy(FAKE_PEER, path)
        return path

    given, named, on_path = fake("given"), fake("named"), fake("on_path")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_binary() == on_path
    monkeypatch.setenv(BINARY_VARIABLE, str(named))
    assert find_binary() == named
    assert find_binary(given) == given
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path))
    with pytest.raises(EnvironmentLackingError, match="is not an executable file"):
        find_binary()
    monkeypatch.delenv(BINARY_VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lanspread_harness.build.__file__", str(tmp_path / "a/b/c/build.py"))
    with pytest.raises(EnvironmentLackingError, match=BINARY_VARIABLE):
        find_binary()


def test_the_example_of_the_documentation_runs(
    peer_binary: Path, pytester: pytest.Pytester
) -> None:
    text = (REPOSITORY / "docs" / "harness.md").read_text(encoding="utf-8")
    example, fixture = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    pytester.makeconftest(fixture)
    pytester.makepyfile(f"{example}\n\nasync def test_a_fixture(alpha): assert alpha.running")
    result = run(pytester, f"--lanspread-binary={peer_binary}")
    result.assert_outcomes(passed=2)
