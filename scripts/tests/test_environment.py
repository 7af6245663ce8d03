"""What a shell, a working directory or a user brings along does not decide what a run says."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from conftest import FAKE_PEER
from runner_process import FAILS, PASSES, SCRIPTS, run_runner, runner_command, states
from runners import dead_runner

from lanspread_harness import run_directory
from lanspread_harness.errors import EnvironmentLackingError, UsageError
from lanspread_harness.run_directory import OWNER, sweep
from lanspread_harness.schema import load_schema
from lanspread_harness.system_programs import lacking_for_disks, lacking_for_links

if TYPE_CHECKING:
    from types import ModuleType

SHAPES = '''
"""A link has a shape."""

from lanspread_harness import Link, Meta, Need

META = Meta(needs=frozenset({Need.LINKS}))

async def scenario(lab):
    alpha = await lab.peer("alpha")
    async with lab.shape(alpha, Link(delay_ms=1)):
        await alpha.command("echo")
'''

ENDLESS = '''
"""A peer runs until the run ends."""

import asyncio
import sys

async def scenario(lab):
    alpha = await lab.peer("alpha")
    print(alpha.session.process.pid(), file=sys.stderr, flush=True)
    await alpha.event("never", timeout_s=50)
'''

BAD_MODULE = "raise ImportError('a module of the working directory')\n"


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap_here", SCRIPTS / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(lacking_for_links() is not None, reason=f"{lacking_for_links()}")
@pytest.mark.parametrize("module", ["heapq", "json", "select", "struct"])
def test_modules_of_the_working_directory_are_not_the_wires(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(BAD_MODULE)
    command = runner_command(tmp_path, {"shapes": SHAPES}, "--backend", "netns")
    # As for a script, the working directory is not among the runner's own places of modules.
    command.insert(1, "-I")
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_promises_and_assertions_hold_whatever_the_variables(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    asserts = PASSES + "    assert lab.seed is None, 'ü'\n"
    ran = run_runner(
        tmp_path, {"passes": PASSES, "asserts": asserts}, "--json", env={**os.environ, **variables}
    )
    assert states(ran) == {"S01": "passed", "S02": "failed"}, ran.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONSAFEPATH": "1"},
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONHOME": ""},
        {"PYTHONWARNINGS": "error"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
@pytest.mark.parametrize(
    "script", ["run_extended_scenarios.py --list", "scenario_index.py --check", "mutate.py --help"]
)
def test_scripts_start_whatever_the_variables(
    tmp_path: Path, script: str, variables: dict[str, str]
) -> None:
    for name in ("heapq", "argparse", "bootstrap", "lanspread_harness"):
        (tmp_path / f"{name}.py").write_text(BAD_MODULE)
    name, option = script.split()
    ran = subprocess.run(
        [sys.executable, str(SCRIPTS / name), option],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_variables_of_python_are_not_handed_on(bootstrap: ModuleType) -> None:
    before = {"PYTHONOPTIMIZE": "2", "PYTHONHOME": "x", "PYTHONUNBUFFERED": "1", "PATH": "y"}
    cleaned = {"PYTHONUNBUFFERED": "1", "PATH": "y", "PYTHONUTF8": "1"}
    assert bootstrap.clean_variables(before) == cleaned
    assert bootstrap.clean_variables(cleaned) == cleaned


def test_a_checkout_that_cannot_be_written_has_its_environment_in_the_cache(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def install(environment: Path, group: str) -> None:
        made.append(environment)
        environment.mkdir()
        bootstrap._stamp(environment, group).touch()  # noqa: SLF001

    monkeypatch.setattr(bootstrap, "IN_REPOSITORY", tmp_path / "checkout/.venv")
    monkeypatch.setattr(bootstrap, "_is_writable", lambda: False)
    monkeypatch.setattr(bootstrap, "_install", install)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        python = bootstrap.ensure_environment("dev")
        assert python.is_relative_to(tmp_path / "cache/lanspread")
    assert len(made) == 1
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with pytest.raises(bootstrap.BootstrapError, match="XDG_CACHE_HOME names another place"):
        bootstrap.ensure_environment("dev")


def test_a_terminal_that_is_closed_interrupts(tmp_path: Path) -> None:
    command = runner_command(tmp_path, {"endless": ENDLESS})
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stderr is not None
        peer = int(ran.stderr.readline())
        ran.send_signal(signal.SIGHUP)
        _, said = ran.communicate()
    assert ran.returncode == 130
    assert "interrupted; all peers are gone" in said
    assert not Path(f"/proc/{peer}").exists()
    [junit] = (tmp_path / "out").glob("*/junit.xml")
    suite = ET.parse(junit).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("errors") == "1"


def test_who_ignores_that_goes_on(tmp_path: Path) -> None:
    hangs_up = PASSES + "    __import__('os').kill(__import__('os').getpid(), 1)\n"
    command = runner_command(tmp_path, {"passes": hangs_up})
    ran = subprocess.run(["nohup", *command], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, EnvironmentLackingError),
        (errno.EROFS, EnvironmentLackingError),
        (errno.ENOSPC, EnvironmentLackingError),
        (errno.ENOTDIR, UsageError),
    ],
)
def test_a_place_for_files_that_is_closed_is_no_misuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuses(_directory: Path) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_directory, "_claim", refuses)
    with (
        pytest.raises(kind, match=f"cannot be written: {os.strerror(number)}"),
        run_directory.run_directory(tmp_path, "now"),
    ):
        pass


def test_what_another_user_left_stays_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = tmp_path / "killed/S01/peers"
    peers.mkdir(parents=True)
    for name in ("one", "two"):
        (peers / name).touch()
    (tmp_path / "killed" / OWNER).write_text(dead_runner())

    def refuses(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as other_user:
        other_user.setattr(os, "unlink", refuses)
        sweep(tmp_path)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"what a killed run left in {tmp_path / 'killed'} stays (Permission denied)" in said
    assert peers.exists()
    sweep(tmp_path)
    assert not peers.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes what a user cannot remove")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_user_runs_where_root_ran(tmp_path: Path) -> None:
    place = Path("/var/tmp") / f"lanspread-{os.getpid()}"  # noqa: S108
    place.mkdir()
    try:
        shutil.copytree(SCRIPTS / "lanspread_harness", place / "scripts/lanspread_harness")
        shutil.copy(FAKE_PEER, place / "peer")
        peers = place / "out/killed/S01/peers"
        peers.mkdir(parents=True)
        (peers / "file").touch()
        (place / "out/killed" / OWNER).write_text(dead_runner())
        (place / "out/durations.json").write_text("{}")
        (place / "out").chmod(0o777)
        command = runner_command(place, {"passes": PASSES}, "--binary", str(place / "peer"))
        command[0] = shutil.which("python3", path="/usr/bin:/bin") or command[0]
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        shutil.copytree(Path(packages) / "jsonschema_rs", place / "scripts/jsonschema_rs")
        command = [part.replace(str(SCRIPTS), str(place / "scripts")) for part in command]
        user = ("setpriv", "--reuid=31337", "--regid=31337", "--clear-groups", "--")
        tried = subprocess.run([*user, command[0], "-c", "1"], check=False, capture_output=True)
        version = subprocess.check_output([command[0], "--version"], text=True).split()[1]
        if tried.returncode != 0 or version < "3.11":
            pytest.skip("no Python that another user can run")
        ran = subprocess.run(
            [*user, *command], cwd=place, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "stays (Permission denied)" in ran.stderr
        assert "Traceback" not in ran.stderr
        (place / "out").chmod(0o755)
        ran = subprocess.run(
            [*user, *command], cwd=place, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 3, ran.stdout + ran.stderr
        assert "cannot be written: Permission denied" in ran.stderr
        assert "Traceback" not in ran.stderr
    finally:
        shutil.rmtree(place)
    assert tmp_path.exists()


@pytest.mark.skipif(lacking_for_disks() is not None, reason=f"{lacking_for_disks()}")
def test_a_checkout_that_is_read_only_needs_another_place_for_files(tmp_path: Path) -> None:
    runner_command(tmp_path, {"passes": PASSES, "fails": FAILS})
    mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && exec"
    command = [sys.executable, "-c", "pass", *runner_command(tmp_path, {"passes": PASSES})[1:]]
    del command[1:3]
    shell = ["unshare", "--mount", "sh", "-c", f'cd {tmp_path} && {mount} "$@"', "sh", *command]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "Read-only file system; name another directory" in ran.stderr


def test_a_binary_without_a_schema_says_why(tmp_path: Path) -> None:
    binary = tmp_path / "peer"
    binary.write_text("#!/bin/sh\necho 'wrong machine' >&2; exit 9\n")
    binary.chmod(0o755)
    with pytest.raises(EnvironmentLackingError, match="wrong machine"):
        load_schema(binary)
