"""Namespaces: a lab leaves none, and sweeping takes from the dead alone. Needs root."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER
from runners import dead_runner, living_runner

from lanspread_harness.backends.netns import (
    NAMESPACES,
    NetnsBackend,
    check_namespaces,
    namespaces,
)
from lanspread_harness.backends.subnets import CAPACITY
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.identity import PREFIX, owner_of, runner_identity
from lanspread_harness.system_programs import tool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _rights() -> None:
    try:
        check_namespaces()
    except EnvironmentLackingError as error:
        pytest.skip(str(error))


def own_namespaces() -> list[str]:
    return [name for name in namespaces() if owner_of(name) == runner_identity()]


def test_peers_of_a_lab_share_a_bridge_and_nothing_stays(tmp_path: Path) -> None:
    async def body() -> None:
        interfaces = await tool("ip", "-brief", "link", "show")
        async with NetnsBackend(FAKE_PEER, seed=1).open("lab-test", tmp_path) as host:
            for name in ("alpha", "bravo"):
                await host.start(name, 1, ["run", "--name", name], tmp_path / "stderr")
            alpha, bravo = [await host.attachment(name) for name in ("alpha", "bravo")]
            assert len(own_namespaces()) == 3
            assert await tool("ip", "-brief", "link", "show") == interfaces
            assert alpha.address != bravo.address
            inside = ("nsenter", f"--net={alpha.peer_namespace}", "ip", "neighbour", "show")
            known = (await tool(*inside, "nud", "permanent")).splitlines()
            assert len(known) == CAPACITY - 1, "nobody has to ask for the way"
            assert any(line.startswith(f"{bravo.address} ") for line in known)
        assert own_namespaces() == []

    asyncio.run(body())


def test_a_peer_has_no_privileges_and_gets_its_signals_itself(tmp_path: Path) -> None:
    async def body() -> None:
        async with NetnsBackend(FAKE_PEER, seed=1).open("lab-test", tmp_path) as host:
            peer = await host.start("alpha", 1, ["run", "--name", "alpha"], tmp_path / "stderr")
            assert b"ready" in await peer.stdout.readline()
            with open(f"/proc/{peer.process.pid}/status", encoding="utf-8") as status:  # noqa: ASYNC230, PTH123
                effective = [line for line in status if line.startswith("CapEff:")]
            assert int(effective[0].split()[1], 16) == 0
            await peer.signal(signal.SIGKILL)
            assert str(await peer.wait()) == "SIGKILL"

    asyncio.run(body())


def test_sweeping_takes_from_the_dead_alone() -> None:
    dead = f"{PREFIX}.{dead_runner()}.lab-dead.1"
    living = f"{PREFIX}.{living_runner()}.lab-{os.getpid()}.1"

    async def body() -> None:
        for name in (dead, living):
            await tool("ip", "netns", "add", name)
        try:
            inside = ("nsenter", f"--net=/run/netns/{dead}", "sh", "-c", "echo in; sleep 1000")
            stopped = await asyncio.create_subprocess_exec(*inside, stdout=subprocess.PIPE)
            assert stopped.stdout is not None
            assert await stopped.stdout.readline() == b"in\n"
            os.kill(stopped.pid, signal.SIGSTOP)
            await NetnsBackend(FAKE_PEER, seed=1).sweep()
            assert await stopped.wait() == -signal.SIGKILL
            assert dead not in namespaces()
            assert living in namespaces()
        finally:
            subprocess.run(["ip", "netns", "delete", living], check=False)  # noqa: ASYNC221

    asyncio.run(body())


def test_a_namespace_that_does_not_go_keeps_no_other() -> None:
    dead = [f"{PREFIX}.{dead_runner()}.lab-dead.{number}" for number in range(2)]
    stays = NAMESPACES / dead[0]

    async def body() -> None:
        await tool("ip", "netns", "add", dead[1])
        # What is no file cannot be removed as one.
        stays.mkdir()
        try:
            with pytest.raises(BackendError) as caught:
                await NetnsBackend(FAKE_PEER, seed=1).sweep()
        finally:
            stays.rmdir()
        assert dead[0] in caught.value.evidence[0]
        assert dead[1] not in namespaces()

    asyncio.run(body())


def test_a_failing_tool_tells_why() -> None:
    with pytest.raises(BackendError, match="ip netns delete") as caught:
        asyncio.run(tool("ip", "netns", "delete", "no-such-namespace"))
    assert any("no-such-namespace" in line for line in caught.value.evidence)
