"""Sweeping: what a dead runner left goes, what a living one uses stays. Needs a docker engine."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from runners import dead_runner, living_runner

from lanspread_harness.backends.docker import (
    IMAGE,
    RUNNER_LABEL,
    DockerBackend,
    check_engine,
    docker,
)
from lanspread_harness.errors import BackendError, EnvironmentLackingError
from lanspread_harness.identity import runner_identity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    try:
        asyncio.run(check_engine())
    except EnvironmentLackingError as error:
        pytest.skip(str(error))


async def labelled_networks(owner: str) -> list[str]:
    label = f"label={RUNNER_LABEL}={owner}"
    return (await docker("network", "ls", "--quiet", "--filter", label)).split()


def test_a_lab_has_a_network_and_leaves_none(tmp_path: Path) -> None:
    async def body() -> None:
        backend = DockerBackend(IMAGE, seed=1)
        async with backend.open(f"lab-test-{os.getpid()}", tmp_path) as host:
            assert len(await labelled_networks(runner_identity())) == 1
            assert host.listen_address("alpha") == "0.0.0.0:0"
        assert await labelled_networks(runner_identity()) == []

    asyncio.run(body())


def test_sweeping_takes_from_the_dead_alone() -> None:
    dead, living = dead_runner(), living_runner()
    pid = os.getpid()

    async def body() -> None:
        for number, owner in enumerate((dead, living)):
            label = f"{RUNNER_LABEL}={owner}"
            await docker("network", "create", "--label", label, f"sweep-{pid}-{number}")
        try:
            await DockerBackend(IMAGE, seed=1).sweep()
            assert await labelled_networks(dead) == []
            assert len(await labelled_networks(living)) == 1
        finally:
            await docker("network", "rm", f"sweep-{pid}-1")

    asyncio.run(body())


def test_a_failing_command_tells_why() -> None:
    with pytest.raises(BackendError) as caught:
        asyncio.run(docker("network", "rm", "no-such-network-here"))
    assert any("no-such-network-here" in line for line in caught.value.evidence)
