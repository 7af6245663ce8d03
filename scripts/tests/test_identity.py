"""Telling runners apart by boot, namespace of processes, pid and start; and not judging blindly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import FAKE_PEER
from faulty_world import binary_in_image
from runner_process import PASSES, SCRIPTS, runner_command
from runners import dead_runner, living_runner, own

from lanspread_harness import identity
from lanspread_harness.identity import (
    INITIAL_NAMESPACE,
    Standing,
    is_dead,
    is_doomed,
    owned_name,
    owner_of,
    runner_identity,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENDLESS = '''
"""A peer runs for as long as its runner does."""

import asyncio
import sys

async def scenario(lab):
    await lab.peer("alpha")
    print(lab.network, file=sys.stderr, flush=True)
    await asyncio.Event().wait()
'''

OTHER_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
"""A runner in there has pid 1 and sees no process but its own, as in a container."""


def can_be_another_container() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*OTHER_CONTAINER, "true"], check=False, capture_output=True).returncode == 0
    )


needs_containers = pytest.mark.skipif(
    not can_be_another_container(), reason="no namespace of processes can be made here"
)


def judged(text: str, *, prefix: Sequence[str] = ()) -> str:
    """What a process judges of an identity, perhaps inside of something."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from lanspread_harness.identity import standing; print(standing(sys.argv[2]).name)"
    )
    command = [*prefix, sys.executable, "-c", program, str(SCRIPTS), text]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_runner_is_known_by_its_start() -> None:
    assert standing(runner_identity()) is Standing.ALIVE
    assert standing(living_runner()) is Standing.ALIVE
    assert standing(dead_runner()) is Standing.DEAD
    assert is_doomed(owned_name("lab", "1"))
    assert owner_of(owned_name("lab", "1")) == runner_identity()
    for name in ("", "lanspread", "lanspread.x.y", runner_identity(), "eth0"):
        assert not is_doomed(name)


@pytest.mark.parametrize("text", ["", "x", "..", "a.b.c", "a.1.2.3x", f"{runner_identity()}.9"])
def test_of_a_strange_text_nothing_is_known(text: str) -> None:
    assert standing(text) is Standing.UNKNOWN
    assert not is_dead(text)


def test_another_boot_is_over_on_this_kernel_alone() -> None:
    rebooted = str(replace(own(), boot="0" * 8))
    assert is_dead(rebooted)
    assert not is_dead(rebooted, of_this_kernel=False)


def test_who_cannot_see_another_namespace_does_not_judge_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = replace(own(), namespace=1)
    monkeypatch.setattr(identity, "INITIAL_NAMESPACE", INITIAL_NAMESPACE - 1)
    assert standing(str(elsewhere)) is Standing.UNKNOWN


@needs_containers
def test_containers_do_not_judge_each_other_and_the_machine_judges_both() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from lanspread_harness.identity import runner_identity; "
        "print(runner_identity(), flush=True); sys.stdin.read()"
    )
    command = [*OTHER_CONTAINER, sys.executable, "-c", program, str(SCRIPTS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        inside = runner.stdout.readline().strip()
        assert f".{1}." in inside
        assert judged(inside, prefix=OTHER_CONTAINER) == "UNKNOWN"
        assert judged(runner_identity(), prefix=OTHER_CONTAINER) == "UNKNOWN"
        if own().namespace == INITIAL_NAMESPACE and os.geteuid() == 0:
            assert judged(inside) == "ALIVE"
    if own().namespace == INITIAL_NAMESPACE and os.geteuid() == 0:
        assert judged(inside) == "DEAD"


def in_container(place: Path, scenarios: dict[str, str], *arguments: str) -> list[str]:
    return [*OTHER_CONTAINER, *runner_command(place, scenarios, *arguments, "--json")]


@pytest.fixture
def neighbour(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Path, str]]:
    """A runner in another container whose scenario runs: its process, directory and network."""
    backend = getattr(request, "param", "process")
    binary = FAKE_PEER if backend == "process" else binary_in_image(tmp_path)
    command = in_container(
        tmp_path, {"endless": ENDLESS}, "--backend", backend, "--binary", str(binary)
    )
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        network = process.stderr.readline().strip()
        directory = Path(json.loads(process.stdout.readline())["directory"])
        yield process, directory, network
        process.kill()


@needs_containers
def test_runners_in_two_containers_share_a_directory(
    tmp_path: Path, neighbour: tuple[Any, Path, str]
) -> None:
    process, directory, network = neighbour
    assert network.startswith("lab-"), network
    ran = subprocess.run(
        in_container(tmp_path / "other", {"passes": PASSES}, "--out", str(tmp_path / "out")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    theirs = Path(json.loads(ran.stdout.splitlines()[0])["directory"])
    assert theirs.parent == directory.parent
    assert theirs != directory
    assert (directory / "S01/peers/alpha/games").is_dir(), "the peers of the living stay"
    process.kill()
    process.wait()
    ran = subprocess.run(
        in_container(tmp_path / "other", {"passes": PASSES}, "--out", str(tmp_path / "out")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert not (directory / "S01/peers").exists(), "those of the dead go"
    assert (directory / "S01/history.jsonl").exists()


@needs_containers
@pytest.mark.parametrize("neighbour", ["docker"], indirect=True)
def test_runners_in_two_containers_share_an_engine(
    tmp_path: Path, neighbour: tuple[Any, Path, str]
) -> None:
    process, _, network = neighbour

    def made() -> set[str]:
        """Containers and networks of the neighbour's lab."""
        found: set[str] = set()
        for kind in (("ps", "--all"), ("network", "ls")):
            command = ["docker", *kind, "--quiet", "--filter", f"label=lanspread.lab={network}"]
            found |= set(subprocess.check_output(command, text=True).split())
        return found

    before = made()
    assert len(before) == 2, "a container and its network"
    arguments = ("--backend", "docker", "--binary", str(tmp_path / "peer"))
    command = in_container(
        tmp_path / "other",
        {"passes": PASSES.replace("echo", "status")},
        *arguments,
        *("--out", str(tmp_path / "out")),
    )
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert made() == before
    assert process.poll() is None
    process.kill()
    process.wait()
    subprocess.run(["docker", "rm", "--force", *before], check=False, capture_output=True)
    subprocess.run(["docker", "network", "rm", *before], check=False, capture_output=True)
