"""What the tests of the harness share: a lab whose peers are `fake_peer.py`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from lab_calls import Shell, until

from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.build import BINARY_VARIABLE, build_binary
from lanspread_harness.cli import REPOSITORY
from lanspread_harness.lab import Lab, LabSettings, open_lab
from lanspread_harness.schema import Schema, load_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

pytest.register_assert_rewrite("faulty_world")

FAKE_PEER = Path(__file__).parent / "fake_peer.py"

InLab: TypeAlias = "Callable[[Callable[[Lab], Awaitable[None]]], None]"


@pytest.fixture(scope="session")
def schema() -> Schema:
    return load_schema(FAKE_PEER)


@pytest.fixture
def in_lab(tmp_path: Path, schema: Schema) -> InLab:
    """Run a coroutine in a lab; what fails in it arrives bare, not in a group."""

    async def run(body: Callable[[Lab], Awaitable[None]]) -> None:
        settings = LabSettings("lab-test", 1, tmp_path, FAKE_PEER)
        async with open_lab(settings, ProcessBackend(FAKE_PEER), schema) as lab:
            await body(lab)

    return lambda body: run_bare(run(body))


def run_bare(running: Coroutine[object, object, None]) -> None:
    """Run it; what fails in it arrives bare, not in a group."""
    try:
        asyncio.run(running)
    except ExceptionGroup as group:
        raise first_leaf(group) from group


def first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@pytest.fixture(scope="session")
def real_binary() -> Path:
    """The binary that the environment names, else a fresh release build."""
    named = os.environ.get(BINARY_VARIABLE)
    return Path(named) if named else build_binary(REPOSITORY)


@pytest.fixture
def shell(tmp_path: Path, real_binary: Path) -> Iterator[Shell]:
    """Calls of `lanspread-lab`; nothing of its labs may be left."""
    shell = Shell(tmp_path, real_binary)
    yield shell
    shell.run("close --all")
    until(lambda: not shell.processes(), shell.processes)
