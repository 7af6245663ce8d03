"""Old names of the public API are the new objects, and say what they are called now."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.hostile import Library, say_hello

if TYPE_CHECKING:
    from conftest import InLab

    from lanspread_harness.lab import Lab

pytest_plugins = ["pytester"]

SCRIPTS = Path(__file__).parents[1]

ALIASES = [
    ("lanspread_harness.GameView", "lanspread_harness.ListedGame"),
    ("lanspread_harness.views.GameView", "lanspread_harness.answers.ListedGame"),
    ("lanspread_harness.views.RemotePeer", "lanspread_harness.answers.RemotePeer"),
    ("lanspread_harness.views.Status", "lanspread_harness.answers.Status"),
    (
        "lanspread_harness.neighbours.room_for_neighbours",
        "lanspread_harness.arp_limits.raise_arp_limits",
    ),
    ("lanspread_harness.usage.Usage", "lanspread_harness.process_usage.ProcessUsage"),
    ("lanspread_harness.usage.usage_of", "lanspread_harness.process_usage.read_usage"),
    ("lanspread_harness.usage.peak_rss_mib", "lanspread_harness.process_usage.read_peak_rss_mib"),
    ("lanspread_harness.usage.pid_of", "lanspread_harness.process_usage.find_pid"),
    ("lanspread_harness.usage.idle_cpu_shares", "lanspread_harness.process_usage.measure_idle_cpu"),
]


def named(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("old", "new"), ALIASES)
def test_an_old_name_is_the_new_object_and_warns(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{old} is deprecated.*{new.rpartition('.')[2]}$"):
        found = named(old)
    assert found is named(new)


def test_a_name_that_never_was_is_an_error() -> None:
    for module in ("lanspread_harness", "lanspread_harness.usage"):
        with pytest.raises(AttributeError, match="no attribute 'never'"):
            named(f"{module}.never")


def test_the_warning_is_shown_where_the_old_name_stands(tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text("\nfrom lanspread_harness.usage import pid_of\n", encoding="utf-8")
    command = [sys.executable, "-W", "always::DeprecationWarning", str(script)]
    ran = subprocess.run(
        command, env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True, text=True, check=True
    )
    assert f"{script}:2: DeprecationWarning" in ran.stderr


def test_new_names_do_not_warn() -> None:
    names = [new for _, new in ALIASES]
    script = (
        f"import importlib\nfor name in {names!r}:\n    module, _, name = name.rpartition('.')\n"
    )
    script += "    getattr(importlib.import_module(module), name)\n"
    command = [sys.executable, "-W", "error", "-c", script]
    subprocess.run(command, env={"PYTHONPATH": str(SCRIPTS)}, check=True)


def test_the_old_method_of_a_lab(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        with pytest.warns(DeprecationWarning, match=r"use Lab\.check_incidents"):
            lab.check_troubles()

    in_lab(body)


def test_the_old_parameter_of_a_hello(tmp_path: Path) -> None:
    pytest.importorskip("aioquic")
    hello = say_hello(
        "127.0.0.1:1",
        sock=None,  # type: ignore[arg-type]
        certificate=tmp_path / "none",
        key=tmp_path / "none",
        hello={},
        told=Library(rev=1, games=0, pages=[]),
    )
    with (
        pytest.warns(DeprecationWarning, match="served"),
        pytest.raises(FileNotFoundError),
    ):
        asyncio.run(hello)


def test_the_old_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    pytester.makepyfile("""
        import pytest

        @pytest.fixture(scope="session")
        def lanspread_session():
            return "session"

        @pytest.fixture
        def lanspread_test_run():
            return "run"

        def test_it(lanspread_ground, lanspread_stage):
            assert (lanspread_ground, lanspread_stage) == ("session", "run")
        """)
    options = ("-p", "lanspread_harness.pytest_plugin", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*options, "-W", "default")
    result.assert_outcomes(passed=1, warnings=2)
    result.stdout.fnmatch_lines(["*lanspread_ground is deprecated*lanspread_session"])
    result.stdout.fnmatch_lines(["*lanspread_stage is deprecated*lanspread_test_run"])
