"""Namespaces without root: the runner goes to where it has the rights, or says what forbids it.

Run by root, the tests become another user first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER

from lanspread_harness.backends import user_namespace
from lanspread_harness.backends.user_namespace import SYSCTLS, VARIABLE, inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCRIPTS = Path(__file__).parents[1]

NOBODY = "31337"
"""A user of whom nothing on this machine is."""

RUNNER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lanspread_harness import cli
cli.SCENARIOS = Path(sys.argv[2])
sys.exit(cli.main(sys.argv[3:]))
"""

SCENARIO = '''
"""Peers of a user without rights have links that can be broken, and disks that run full."""

import os

from lanspread_harness import Lab, Link, Meta, Need, expect

META = Meta(needs=frozenset(Need) - {Need.EXFAT, Need.HOSTILE})


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha", disk_mib=8)
    bravo = await lab.peer("bravo")
    file = bravo.games_dir / "file"
    file.write_bytes(b"content")
    async with (
        lab.partition(alpha, bravo),
        lab.shape(bravo, Link(delay_ms=5)),
        lab.disk_full(alpha),
        lab.unreadable(bravo, file),
        lab.stopped(alpha),
    ):
        expect(lab.disks["alpha"].used_bytes() > 0, "there is something on the disk")
    await lab.peer("charlie")
'''

ENDLESS = '''
"""A peer is stopped, for as long as the runner lives."""

import asyncio
import os
import sys

from lanspread_harness import Lab


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    async with lab.stopped(alpha):
        pid = alpha.session.process.process.pid
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        print(pid, file=sys.stderr, flush=True)
        await asyncio.Event().wait()
'''

FAULTS = "netns and (one_way or isolation or undone or history or full_disk or leaves or swept)"
"""The self-tests of faults that are run once more, but for those that measure a delay or a rate:
without root a link shaper has no priority over what else the machine does."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user may write to."""
    directory = Path(tempfile.mkdtemp(prefix="lanspread-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


def as_nobody(command: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return list(command)
    identity = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    rights = ("--inh-caps=-all", "--bounding-set=-all")
    return ["setpriv", *identity, *rights, "--", *command]


def environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return {**kept, "HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1"}


def run_as_nobody(command: Sequence[str], place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        as_nobody(command),
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def _possible(place: Path) -> None:
    """Skip where the machine or the checkout is closed to such a user."""
    if shutil.which("setpriv") is None or shutil.which("unshare") is None:
        pytest.skip("setpriv or unshare is not installed (package util-linux)")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from lanspread_harness.backends.netns import check_namespaces; "
        "check_namespaces(enter=True)"
    )
    tried = run_as_nobody([sys.executable, "-c", program, str(SCRIPTS)], place)
    if tried.returncode != 0:
        pytest.skip((tried.stderr.strip() or "no reason is told").splitlines()[-1])


def runner(place: Path, *arguments: str) -> list[str]:
    scenarios = place / "scenarios"
    scenarios.mkdir(exist_ok=True)
    (scenarios / "s01_rights.py").write_text(SCENARIO.lstrip())
    (scenarios / "s02_endless.py").write_text(ENDLESS.lstrip())
    command = [sys.executable, "-c", RUNNER, str(SCRIPTS), str(scenarios)]
    return [*command, "--backend", "netns", "--binary", str(FAKE_PEER), *arguments]


@pytest.mark.usefixtures("_possible")
def test_the_runner_gets_its_rights_by_itself(place: Path) -> None:
    ran = run_as_nobody(runner(place, "S01"), place)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed, 0 failed" in ran.stdout
    user = os.geteuid() or int(NOBODY)
    assert {path.stat().st_uid for path in (place / "out").rglob("*")} == {user}


@pytest.mark.usefixtures("_possible")
def test_a_stopped_peer_of_a_killed_runner_is_ended_by_the_next(place: Path) -> None:
    with subprocess.Popen(
        as_nobody(runner(place, "S02")),
        cwd=place,
        env=environment(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stderr is not None
        peer = Path(f"/proc/{int(killed.stderr.readline())}")
        killed.kill()
    assert (peer / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    ran = run_as_nobody(runner(place, "S01"), place)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # Whoever takes in orphans may not have taken it in yet.
    assert not peer.exists() or (peer / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert not list((place / "out").rglob("peers"))


@pytest.mark.usefixtures("_possible")
def test_faults_are_as_true_as_with_root(place: Path) -> None:
    tests = Path(__file__).parent
    files = [
        str(tests / f"test_{name}.py") for name in ("netns", "packets", "faults", "link_faults")
    ]
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(place / "pytest")]
    chosen = ["-k", f"test_netns.py or test_packets.py or {FAULTS}"]
    pytest_command = [sys.executable, "-m", "pytest", *options, *files, *chosen]
    ran = run_as_nobody(inside(pytest_command), place)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout


@pytest.mark.usefixtures("_possible")
def test_who_is_forbidden_is_told_by_which_setting(place: Path) -> None:
    # In a user namespace of its own the setting can be made without touching the machine's.
    forbid = (
        "echo 0 > /proc/sys/user/max_user_namespaces; "
        'exec setpriv --inh-caps=-all --bounding-set=-all -- "$@"'
    )
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *runner(place)]
    ran = run_as_nobody(command, place)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert ran.stderr.startswith("environment: backend netns: it needs root or a user namespace")
    assert "sysctl user.max_user_namespaces is 0" in ran.stderr
    assert not (place / "out").exists()


@pytest.mark.parametrize(("name", "value"), SYSCTLS.items())
def test_settings_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr(user_namespace, "SYSCTL_FILES", tmp_path)
    path = tmp_path / name.replace(".", "/")
    path.parent.mkdir()
    path.write_text("1000\n")
    assert user_namespace.forbidding_setting() is None
    path.write_text(f"{value}\n")
    assert user_namespace.forbidding_setting() == f"sysctl {name} is {value}"


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    obstacle = user_namespace.obstacle()
    assert obstacle is not None
    assert obstacle.startswith("unshare is not installed (package util-linux); looked in PATH, /")
