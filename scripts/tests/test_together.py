"""Several runners that start at once, after one that was killed: each finds its way and passes."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty_world import binary_in_image
from runner_process import PASSES, runner_command
from runners import dead_runner

from lanspread_harness import host_locks, run_directory
from lanspread_harness.backends import docker, netns
from lanspread_harness.backends.docker import RUNNER_LABEL
from lanspread_harness.durations import read_durations, write_durations
from lanspread_harness.errors import BackendError
from lanspread_harness.host_locks import hold_lock, reserve_cores
from lanspread_harness.identity import PREFIX
from lanspread_harness.system_programs import LINK_CAPABILITIES, lacking

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE = 3

needs_namespaces = pytest.mark.skipif(
    lacking(netns.PROGRAMS, LINK_CAPABILITIES) is not None,
    reason=f"{lacking(netns.PROGRAMS, LINK_CAPABILITIES)}",
)


def leave_disks(out: Path) -> None:
    """What a killed run leaves: so many files that removing them takes a while."""
    for number in range(3):
        run = out / f"killed-{number}"
        for scenario in range(4):
            games = run / f"S{scenario:02}" / "peers/alpha/games"
            games.mkdir(parents=True)
            for name in range(300):
                (games / f"{name}").touch()
        (run / run_directory.OWNER).write_text(dead_runner())


def run_at_once(place: Path, scenario: str, *arguments: str) -> list[subprocess.Popen[str]]:
    command = runner_command(place, {"passes": scenario}, *arguments)
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(AT_ONCE)
    ]
    for process in started:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    return started


def test_runners_that_start_at_once_all_pass(tmp_path: Path) -> None:
    leave_disks(tmp_path / "out")
    run_at_once(tmp_path, PASSES)
    assert not list((tmp_path / "out").glob("killed-*/*/peers"))
    assert not list((tmp_path / "out").glob(f"*/{run_directory.OWNER}"))
    assert len(list((tmp_path / "out").glob("*/junit.xml"))) == AT_ONCE


@needs_namespaces
def test_runners_on_namespaces_that_start_at_once_all_pass(tmp_path: Path) -> None:
    dead = [f"{PREFIX}.{dead_runner()}.lab-dead.{number}" for number in range(30)]
    for name in dead:
        subprocess.run(["ip", "netns", "add", name], check=True)
    run_at_once(tmp_path, PASSES, "--backend", "netns")
    assert not set(dead) & set(netns.namespaces())


def test_runners_on_one_engine_that_start_at_once_all_pass(tmp_path: Path) -> None:
    binary = binary_in_image(tmp_path)
    label = f"{RUNNER_LABEL}={dead_runner()}"
    for number in range(6):
        name = f"lanspread-dead-{number}"
        command = ["docker", "network", "create", "--label", label, name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    scenario = PASSES.replace("echo", "status")
    run_at_once(tmp_path, scenario, "--backend", "docker", "--binary", str(binary))
    listed = ["docker", "network", "ls", "--quiet", "--filter", f"label={label}"]
    assert subprocess.check_output(listed) == b""


def test_a_directory_is_the_living_ones_from_the_first_moment(tmp_path: Path) -> None:
    """A second runner that looks at any moment never finds an owner's file without a lock."""
    with run_directory.run_directory(tmp_path, "now") as directory:
        owner = directory / run_directory.OWNER
        owner.write_text("of another machine")
        (directory / "S01/peers").mkdir(parents=True)
        run_directory.sweep(tmp_path)
        assert (directory / "S01/peers").exists()
        assert owner.exists()


def test_what_is_swept_by_another_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_disks(tmp_path)
    found = sorted(tmp_path.glob(f"*/{run_directory.OWNER}"))

    def list_then_lose(_self: Path, pattern: str) -> list[Path]:
        assert pattern == f"*/{run_directory.OWNER}"
        found[0].unlink()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", list_then_lose)
        patched.setattr(run_directory, "_remove_disks", lambda owner: owner.unlink())
        run_directory.sweep(tmp_path)
    assert not list(tmp_path.glob(f"*/{run_directory.OWNER}"))


@needs_namespaces
def test_a_namespace_that_is_gone_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "REMOVE_PAUSE_S", 0.0)
    name = f"{PREFIX}.{dead_runner()}.lab-gone.1"
    commands: list[Sequence[str]] = []

    async def loses(*command: str, stdin: str = "") -> str:
        """Another runner removes it between the first look and the first command."""
        commands.append(command)
        subprocess.run(["ip", "netns", "delete", name], check=True)  # noqa: ASYNC221
        raise BackendError(f"{command} works, {stdin}")

    async def body() -> None:
        subprocess.run(["ip", "netns", "add", name], check=True)  # noqa: ASYNC221
        monkeypatch.setattr(netns, "tool", loses)
        await netns._remove([name])  # noqa: SLF001

    asyncio.run(body())
    assert len(commands) == 1


def test_what_the_engine_is_removing_already_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docker, "REMOVE_PAUSE_S", 0.0)
    answers = ["c1", "removal of container c1 is already in progress", "", "n1", "gone", "", ""]

    async def engine(*arguments: str) -> str:
        answer = answers.pop(0)
        if arguments[0] == "rm" or arguments[1] == "rm":
            raise BackendError("it works", [answer])
        return answer

    monkeypatch.setattr(docker, "docker", engine)
    asyncio.run(docker._remove("label"))  # noqa: SLF001
    assert answers == []


def test_who_goes_last_writes_the_durations(tmp_path: Path) -> None:
    write_durations(tmp_path, "process", {"S01": 1.0})
    (tmp_path / ".durations.json.new").mkdir()
    write_durations(tmp_path, "netns", {"S01": 2.0})
    assert read_durations(tmp_path, "process") == {"S01": 1.0}
    assert read_durations(tmp_path, "netns") == {"S01": 2.0}


def test_a_turn_is_one_runners_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_locks, "LOCK_DIRECTORY", tmp_path)

    async def body() -> None:
        async with hold_lock("x", shared=True, wait_s=0) as first:
            async with hold_lock("x", shared=True, wait_s=0) as second:
                assert first
                assert second
            async with hold_lock("x", wait_s=0) as alone:
                assert not alone, "others are at it, and the wait is over"
        async with hold_lock("x", wait_s=0) as alone:
            assert alone

    asyncio.run(body())


def test_cores_are_shared_by_all_runners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_locks, "LOCK_DIRECTORY", tmp_path)

    async def body() -> None:
        async with (
            reserve_cores(0.6, of_cores=2, wait_s=1) as first,
            reserve_cores(0.4, of_cores=2, wait_s=1) as second,
        ):
            assert first
            assert second
            async with reserve_cores(0.1, of_cores=2, wait_s=0.3) as third:
                assert not third, "nothing is left"
        async with reserve_cores(9, of_cores=2, wait_s=1) as everything:
            assert everything, "who wants more than there is gets all"

    asyncio.run(body())


def test_who_wants_much_is_not_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_locks, "LOCK_DIRECTORY", tmp_path)
    order: list[str] = []

    async def runs(name: str, part: float, waiting: asyncio.Event) -> None:
        waiting.set()
        async with reserve_cores(part, of_cores=2, wait_s=20) as came:
            assert came
            order.append(name)

    async def body() -> None:
        events = [asyncio.Event(), asyncio.Event()]
        async with asyncio.TaskGroup() as tasks, reserve_cores(0.5, of_cores=2, wait_s=1):
            tasks.create_task(runs("much", 1.0, events[0]))
            await events[0].wait()
            tasks.create_task(runs("little", 0.1, events[1]))
            await events[1].wait()
            async with hold_lock(host_locks.QUEUE_LOCK, wait_s=0) as free:
                assert not free, "much stands at the head"

    asyncio.run(body())
    assert order == ["much", "little"]


def test_a_turn_is_given_back_by_whoever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_locks, "LOCK_DIRECTORY", tmp_path)
    script = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
    script += "print('held', flush=True); sys.stdin.read()"

    async def body() -> None:
        async with hold_lock("x", wait_s=0):
            pass
        [file] = tmp_path.iterdir()
        with subprocess.Popen(  # noqa: ASYNC220
            ["python3", "-c", script, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            async with hold_lock("x", wait_s=0) as mine:
                assert not mine
            holder.kill()
            async with hold_lock("x", wait_s=10) as mine:
                assert mine

    asyncio.run(body())


def test_where_there_are_no_turns_everybody_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_locks, "LOCK_DIRECTORY", tmp_path / "nowhere")

    async def body() -> None:
        async with hold_lock("x", wait_s=60) as came:
            assert not came

    asyncio.run(body())


def test_a_lock_that_a_file_system_lacks_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_descriptor: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    for name, owner in (("dead", dead_runner()), ("unknown", "of another machine")):
        (tmp_path / name / "S01/peers").mkdir(parents=True)
        (tmp_path / name / run_directory.OWNER).write_text(owner)
    monkeypatch.setattr(fcntl, "flock", refuses)
    run_directory.sweep(tmp_path)
    assert not (tmp_path / "dead/S01/peers").exists()
    assert (tmp_path / "unknown/S01/peers").exists()
