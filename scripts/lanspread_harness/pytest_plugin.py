"""Tests with several real peers: the pytest fixture `lab`.

A test that asks for `lab` is an `async def`; it runs inside a lab of its own, and all its peers are
gone afterwards. `docs/harness.md` shows one. What the lab does by itself holds here too: every line
that a peer prints is checked against the schema of its binary, and a peer that still runs at the
end must end cleanly.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lanspread_harness.backends.choice import BACKENDS, check_backend, make_backend
from lanspread_harness.build import find_binary, find_checkout
from lanspread_harness.errors import HarnessError, ScenarioError
from lanspread_harness.evidence import root_cause, take_evidence
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.exfat import sweep_exfat
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.leftovers import kill_leftovers
from lanspread_harness.run_directory import PEERS
from lanspread_harness.scenario import DEFAULT_TIMEOUT_S, Meta
from lanspread_harness.schema import Schema, load_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from lanspread_harness.backends import Backend

MARKER = "lanspread"
MAX_SEED = 2**32

NO_COROUTINE = (
    "a test with the fixture `lab` must be a plain `async def`; where pytest-asyncio takes it "
    "first, set asyncio_mode = strict"
)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all labs of a session stand on."""

    binary: Path
    schema: Schema
    backend: Backend
    seed: int
    keep: bool


@dataclass(frozen=True, slots=True)
class LabOrder:
    """What the fixture gives; in its place the test gets the open lab."""

    ground: Ground
    settings: LabSettings
    meta: Meta


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all of which have a use only for tests with a `lab`."""
    group = parser.getgroup("lanspread", "tests with several Lanspread peers")
    group.addoption(
        "--lanspread-backend",
        choices=BACKENDS,
        default="process",
        help="where peers run (default: process)",
    )
    group.addoption(
        "--lanspread-binary",
        type=Path,
        metavar="PATH",
        help="the lanspread-peer-cli to test (default: $LANSPREAD_PEER_CLI, then the one on PATH, "
        "then one built in the checkout)",
    )
    group.addoption(
        "--lanspread-keep", action="store_true", help="keep what peers and labs leave on disk"
    )
    group.addoption(
        "--lanspread-seed", type=int, metavar="N", help="decides every random choice of labs"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "lanspread(timeout_s, needs): how long a test with a lab may take, and what its backend "
        "must offer",
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """How to have the same random choices again."""
    seed = config.getoption("--lanspread-seed")
    return None if seed is None else f"lanspread: seed {seed}"


@pytest.fixture(scope="session")
def lanspread_binary(pytestconfig: pytest.Config) -> Path:
    """The `lanspread-peer-cli` whose peers the labs start."""
    try:
        return find_binary(pytestconfig.getoption("--lanspread-binary"))
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def lanspread_ground(pytestconfig: pytest.Config, lanspread_binary: Path) -> Iterator[Ground]:
    """Backend and schema, and the end of what killed sessions left."""
    name: str = pytestconfig.getoption("--lanspread-backend")
    given: int | None = pytestconfig.getoption("--lanspread-seed")
    seed = random.randrange(MAX_SEED) if given is None else given
    kill_leftovers()
    try:
        check_backend(name)
        backend = asyncio.run(
            make_backend(name, lanspread_binary, seed, repository=find_checkout())
        )
        schema = load_schema(lanspread_binary)
        asyncio.run(_sweep(backend))
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)
    keep: bool = pytestconfig.getoption("--lanspread-keep")
    yield Ground(lanspread_binary, schema, backend, seed, keep)
    asyncio.run(_sweep(backend))


async def _sweep(backend: Backend) -> None:
    await backend.sweep()
    await sweep_exfat()
    await sweep_disks()


@pytest.fixture
def lab(
    request: pytest.FixtureRequest,
    lanspread_ground: Ground,
    tmp_path_factory: pytest.TempPathFactory,
) -> LabOrder:
    """A lab of the test's own, open while the test runs: a `lanspread_harness.Lab`."""
    marker = request.node.get_closest_marker(MARKER)
    meta = Meta(**marker.kwargs) if marker is not None else Meta(timeout_s=DEFAULT_TIMEOUT_S)
    reason = lanspread_ground.backend.unsupported(meta.needs)
    if reason is not None:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("lab")
    # Labs of two sessions at a time share the network of the machine, so names must differ.
    lab_id = f"lab-{os.getpid()}-{directory.name}"
    settings = LabSettings(lab_id, lanspread_ground.seed, directory, lanspread_ground.binary)
    return LabOrder(lanspread_ground, settings, meta)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that asked for a lab inside it."""
    order = pyfuncitem.funcargs.get("lab")
    if not isinstance(order, LabOrder):
        return None
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        pytest.fail(NO_COROUTINE, pytrace=False)
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    failed = True
    try:
        asyncio.run(_run(order, pyfuncitem.obj, arguments))
        failed = False
    except ExceptionGroup as group:
        cause = root_cause(group)
        _add_evidence(pyfuncitem, order, cause)
        raise cause from None
    except Exception as error:
        _add_evidence(pyfuncitem, order, error)
        raise
    finally:
        _clear(order, failed=failed)
    return True


async def _run(
    order: LabOrder, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]
) -> None:
    timeout_s = order.meta.timeout_s
    try:
        async with (
            asyncio.timeout(timeout_s) as deadline,
            open_lab(order.settings, order.ground.backend, order.ground.schema) as lab,
        ):
            await test(**{**arguments, "lab": lab})
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise ScenarioError(f"the test ends within {timeout_s:g} s") from error


def _add_evidence(item: pytest.Function, order: LabOrder, error: BaseException) -> None:
    """Show beside the traceback what the peers did."""
    shown = error if isinstance(error, ScenarioError) else ScenarioError(f"{error}")
    command = f"pytest {item.nodeid} --lanspread-seed {order.settings.seed} --lanspread-keep"
    failure = take_evidence(order.settings.directory, shown, command).failure
    if failure is not None:
        lines = [
            f"expected   {failure.expectation}",
            *(f"evidence   {line}" for line in failure.lines),
            f"artefacts  {failure.artefacts}",
            f"run again  {failure.command}",
        ]
        item.add_report_section("call", "lanspread", "\n".join(lines))


def _clear(order: LabOrder, *, failed: bool) -> None:
    """Of a failure keep the records, not the disks; of a success nothing."""
    if order.ground.keep:
        return
    directory = order.settings.directory
    shutil.rmtree(directory / PEERS if failed else directory, ignore_errors=True)
