"""Faults are told of, and undone however a scenario or its runner ends; full disks, measured."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER
from faulty_world import SETTLE_S, InWorld, Probe, a_backend, assert_plain, probes

from lanspread_harness.backends import Need
from lanspread_harness.backends.docker import RUNNER_LABEL
from lanspread_harness.backends.netns import namespaces
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.errors import BackendError
from lanspread_harness.faults import Link
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.exfat import exfat_mounted, sweep_exfat
from lanspread_harness.fixtures import MIB
from lanspread_harness.lab import Lab, LabSettings, open_lab
from lanspread_harness.schema import load_schema
from lanspread_harness.system_programs import lacking_for_exfat, tool

if TYPE_CHECKING:
    from lanspread_harness.backends import PeerProcess

pytest_plugins = ("faulty_world",)


@pytest.mark.parametrize("how", ["raises", "is cancelled"])
def test_all_is_undone_however_a_scenario_ends(in_world: InWorld, how: str) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo", disk_mib=16)
        file = bravo.games_dir / "file"
        file.write_bytes(b"content")
        file.chmod(0o644)
        broken = asyncio.Event()

        async def breaking() -> None:
            async with (
                lab.partition(alpha, bravo),
                lab.shape(bravo, Link(loss=1)),
                lab.disk_full(bravo),
                lab.unreadable(bravo, file),
                lab.bit_flip(bravo, file, offset=2),
                lab.stopped(alpha),
            ):
                broken.set()
                if how == "raises":
                    raise ValueError("a mistake in the scenario")
                await asyncio.Event().wait()

        task = asyncio.create_task(breaking())
        # A fault that cannot begin must not leave the test waiting.
        waiting = asyncio.create_task(broken.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if how == "is cancelled":
            task.cancel()
        with pytest.raises(ValueError if how == "raises" else asyncio.CancelledError):
            await task
        async with probes(lab, alpha, bravo) as (a, b):
            assert_plain(a, b)
        (bravo.games_dir / "large").write_bytes(bytes(MIB))
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"content", 0o644)
        assert state_of(alpha.session.process) != "T"

    in_world(body)


def state_of(process: PeerProcess) -> str:
    """One letter for what the kernel does with it; of a container, with its attachment."""
    pid = process.process.pid  # type: ignore[attr-defined]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0]


def test_a_full_disk_refuses_and_has_room_again(in_world: InWorld) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha", disk_mib=16)
        inside = alpha.games_dir / "data"
        async with lab.disk_full(alpha, free_bytes=MIB):
            inside.write_bytes(bytes(MIB // 2))
            with pytest.raises(OSError, match="No space left") as caught:
                inside.write_bytes(bytes(2 * MIB))
            assert caught.value.errno == errno.ENOSPC
        inside.write_bytes(bytes(4 * MIB))

    in_world(body)


def test_a_disk_leaves_its_files_behind_and_no_mount(in_world: InWorld, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha", disk_mib=16)
        (alpha.games_dir / "data").write_bytes(b"kept")

    in_world(body)
    home = tmp_path / "lab/peers/alpha"
    assert (home / "games/data").read_bytes() == b"kept"
    assert not os.path.ismount(home)
    assert sorted(path.name for path in home.parent.iterdir()) == ["alpha"]


def test_the_history_tells_of_begin_and_end(in_world: InWorld, tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
        async with lab.partition(alpha, bravo, one_way=True), lab.shape(bravo, Link(loss=1)):
            a, b = [Probe(await lab.host.attachment(peer.name)) for peer in (alpha, bravo)]
            b.send(a, b"lost")
            await asyncio.sleep(SETTLE_S)
        async with lab.stopped(alpha):
            pass
        a.udp.close()
        b.udp.close()
        await bravo.kill()

    in_world(body)
    lines = (tmp_path / "lab/history.jsonl").read_text().splitlines()
    faults = [e for e in map(json.loads, lines) if e["kind"] == "fault"]
    written = [(f["fault"], f["id"], f["phase"], f.get("peer"), f.get("peers")) for f in faults]
    assert written == [
        ("partition", 1, "begin", None, ["alpha", "bravo"]),
        ("shape", 2, "begin", "bravo", None),
        ("shape", 2, "end", "bravo", None),
        ("partition", 1, "end", None, ["alpha", "bravo"]),
        ("stop", 3, "begin", "alpha", None),
        ("stop", 3, "end", "alpha", None),
        ("kill", 4, "instant", "bravo", None),
        ("close-stdin", 5, "instant", "alpha", None),
    ]
    assert faults[0]["detail"] == {"one_way": True}
    assert faults[1]["detail"] == {"outbound": {"loss": 1}, "inbound": {"loss": 1}}
    assert faults[2]["detail"]["outbound"]["lost"] >= 1
    assert faults[6]["run"] == 1


def test_processes_on_loopback_have_no_links(tmp_path: Path) -> None:
    async def run() -> None:
        settings = LabSettings("lab-faults", 1, tmp_path, FAKE_PEER)
        backend = ProcessBackend(FAKE_PEER)
        assert "netns" in (backend.unsupported(frozenset({Need.LINKS})) or "")
        async with open_lab(settings, backend, load_schema(FAKE_PEER)) as lab:
            alpha, bravo = await lab.peer("alpha"), await lab.peer("bravo")
            async with lab.partition(alpha, bravo):
                pass

    with pytest.RaisesGroup(pytest.RaisesExc(BackendError, match="a link of its own")):
        asyncio.run(run())


RUNNER_THAT_DIES = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import faulty_world
from lanspread_harness.faults import Link
from lanspread_harness.identity import runner_identity
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.schema import load_schema

async def run(name, directory):
    backend, binary = await asyncio.to_thread(faulty_world.a_backend, name, directory)
    settings = LabSettings("lab-dying", 1, directory / "lab", binary)
    async with open_lab(settings, backend, load_schema(binary)) as lab:
        alpha = await lab.peer("alpha", disk_mib=16)
        async with lab.shape(alpha, Link(delay_ms=1)), lab.stopped(alpha):
            print(runner_identity(), flush=True)
            await asyncio.Event().wait()

asyncio.run(run(sys.argv[3], Path(sys.argv[4])))
"""


@pytest.mark.parametrize("name", ["netns", "docker"])
def test_what_a_killed_runner_broke_is_swept(name: str, tmp_path: Path) -> None:
    backend, _ = a_backend(name, tmp_path)
    tests = Path(__file__).parent
    command = [sys.executable, "-c", RUNNER_THAT_DIES, str(tests), str(tests.parent), name]
    with subprocess.Popen([*command, str(tmp_path)], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        identity = runner.stdout.readline().strip()
        assert identity
        assert leftovers(identity)
        runner.kill()

    async def sweep() -> None:
        await backend.sweep()
        await sweep_disks()

    asyncio.run(sweep())
    assert leftovers(identity) == []


def test_an_exfat_disk_ignores_case_comes_back_and_is_swept(tmp_path: Path) -> None:
    reason = lacking_for_exfat()
    if reason is not None:
        pytest.skip(reason)

    async def run() -> None:
        async with exfat_mounted(tmp_path / "games", 16) as disk:
            (disk.path / "File").write_text("content")
            await disk.remount()
            assert (disk.path / "FILE").read_text() == "content"
        assert [path.name for path in tmp_path.iterdir()] == ["games"]
        assert (tmp_path / "games" / "File").read_text() == "content"

    async def sweep_within() -> None:
        async with exfat_mounted(tmp_path / "swept", 16) as disk:
            await sweep_exfat()
            assert not disk.path.is_mount()
            listed = await tool("losetup", "--list", "--noheadings", "--output", "NAME")
            assert disk.device not in listed.split()

    asyncio.run(run())
    # What is swept cannot be taken away once more.
    with pytest.raises(BackendError):
        asyncio.run(sweep_within())


def leftovers(identity: str) -> list[str]:
    """Whatever of the kernel's or the engine's bears a runner's name."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    links = subprocess.run(["ip", "link", "show"], capture_output=True, text=True, check=True)
    found = [line for line in mounts + links.stdout.splitlines() if identity in line]
    found += [namespace for namespace in namespaces() if identity in namespace]
    if shutil.which("docker") is not None:
        label = f"label={RUNNER_LABEL}={identity}"
        listing = ["docker", "ps", "--all", "--quiet", "--filter", label]
        found += subprocess.run(
            listing, capture_output=True, text=True, check=False
        ).stdout.splitlines()
    return found
