"""Tests with several real peers: the pytest fixture `lab`.

A test that asks for `lab` is an `async def`; it runs inside a lab of its own, and all its peers are
gone afterwards. `docs/harness.md` shows one. What the lab does by itself holds here too: every line
that a peer prints is checked against the schema of its binary, and a peer that still runs at the
end must end cleanly.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import sys
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lanspread_harness.backends.choice import BACKENDS, check_backend, make_backend
from lanspread_harness.build import find_binary, find_checkout
from lanspread_harness.errors import HarnessError, ScenarioError, UsageError
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.exfat import sweep_exfat
from lanspread_harness.identity import unique_token
from lanspread_harness.lab import LabSettings
from lanspread_harness.orphan_cleanup import kill_orphans
from lanspread_harness.pytest_lab.again import command_again
from lanspread_harness.pytest_lab.driven import is_async, plain_fixture, plain_test
from lanspread_harness.pytest_lab.marks import (
    NO_COROUTINE,
    TAKEN,
    TOO_LATE,
    TRIO,
    UNITTEST,
    is_taken,
    meta_of,
    why_not,
)
from lanspread_harness.pytest_lab.outcomes import words
from lanspread_harness.pytest_lab.stage import Ground, Stage
from lanspread_harness.pytest_lab.timeouts import Timer
from lanspread_harness.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from lanspread_harness.backends import Backend
    from lanspread_harness.lab import Lab
    from lanspread_harness.pytest_lab.timeouts import Settings

LAB = "lab"
MAX_SEED = 2**32

BUILD_IMAGE = "--lanspread-build-image"

ENTER_NAMESPACE = (
    "or start pytest inside `unshare --user --map-root-user --net --mount sh -c "
    "'mount -t tmpfs tmpfs /run && exec pytest …'`"
)

STAGE: pytest.StashKey[Stage] = pytest.StashKey()
TEST: pytest.StashKey[Callable[..., Any]] = pytest.StashKey()
RUNS: pytest.StashKey[bool] = pytest.StashKey()
"""There from the begin of the test itself on."""
STAGES: pytest.StashKey[list[Stage]] = pytest.StashKey()
"""Those that nothing was cleared of yet."""


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
        BUILD_IMAGE, action="store_true", help="build the docker image if it is not current"
    )
    group.addoption(
        "--lanspread-keep", action="store_true", help="keep what peers and labs leave on disk"
    )
    group.addoption(
        "--lanspread-seed", type=int, metavar="N", help="decides every random choice of labs"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.stash[STAGES] = []
    config.addinivalue_line(
        "markers",
        "lanspread(timeout_s, needs): how long a test with a lab may take, and what its backend "
        "must offer",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Clear up after a test that an interrupt has ended, of which there is no report."""
    for stage in session.config.stash[STAGES]:
        stage.clear(interrupted=True)


def pytest_report_header(config: pytest.Config) -> str | None:
    """How to have the same random choices again."""
    seed = config.getoption("--lanspread-seed")
    return None if seed is None else f"lanspread: seed {seed}"


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, obj: object
) -> Generator[None, object, object]:
    """Refuse what would be ignored or could not work, before anything runs."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function):
            try:
                meta_of(item)
            except UsageError as error:
                raise collector.CollectError(f"{item.name}: {error}") from None
            reason = why_not(item, obj) if LAB in item.fixturenames else None
            if reason is not None:
                raise collector.CollectError(f"{item.name}: {reason}")
    return made


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
    kill_orphans()
    try:
        check_backend(name)
        backend = asyncio.run(
            make_backend(
                name,
                lanspread_binary,
                seed,
                repository=find_checkout(),
                build_image=pytestconfig.getoption(BUILD_IMAGE),
                build_option=BUILD_IMAGE,
            )
        )
        schema = load_schema(lanspread_binary)
        asyncio.run(_sweep(backend))
    except HarnessError as error:
        enter = f"; {ENTER_NAMESPACE}" if "run it as root" in str(error) else ""
        pytest.fail(f"--lanspread-backend {name}: {error}{enter}", pytrace=False)
    keep: bool = pytestconfig.getoption("--lanspread-keep")
    yield Ground(lanspread_binary, schema, backend, seed, keep)
    asyncio.run(_sweep(backend))
    asyncio.run(backend.close())


async def _sweep(backend: Backend) -> None:
    await backend.sweep()
    await sweep_exfat()
    await sweep_disks()


@pytest.fixture
def lanspread_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The loop that a test with a lab and its async fixtures run in."""
    if "anyio_backend" in request.fixturenames:
        name = request.getfixturevalue("anyio_backend")
        if (name if isinstance(name, str) else name[0]) != "asyncio":
            pytest.skip(TRIO)
    stage = Stage(meta_of(request.node).timeout_s)
    request.node.stash[STAGE] = stage
    request.config.stash[STAGES].append(stage)
    yield stage
    stage.close()


@pytest.fixture
def lab(
    request: pytest.FixtureRequest,
    lanspread_ground: Ground,
    lanspread_stage: Stage,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """A lab of the test's own: a `lanspread_harness.Lab`, open until the test has ended."""
    if request.cls is not None and issubclass(request.cls, unittest.TestCase):
        pytest.fail(UNITTEST, pytrace=False)
    if RUNS in request.node.stash:
        pytest.fail(TOO_LATE, pytrace=False)
    reason = lanspread_ground.backend.unsupported(meta_of(request.node).needs)
    if reason is not None:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("lab")
    # Labs of two sessions at a time share the network of the machine, so names must differ.
    lab_id = f"lab-{unique_token()}-{directory.name}"
    settings = LabSettings(lab_id, lanspread_ground.seed, directory, lanspread_ground.binary)
    # Only a fixture can ask for it without being seen to.
    lanspread_stage.held = LAB not in request.node.fixturenames
    yield lanspread_stage.open(lanspread_ground, settings)
    lanspread_stage.end_lab()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Run the async fixtures of a test with a lab in the lab's loop, and note who holds the lab."""
    if fixturedef.scope != "function":
        return (yield)
    if LAB not in request.fixturenames and STAGE not in request.node.stash:
        return (yield)
    if is_async(fixturedef.func):

        def stage() -> Stage:
            found: Stage = request.getfixturevalue("lanspread_stage")
            return found

        plain = plain_fixture(fixturedef.func, request.instance, fixturedef.argname, stage)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fixturedef, "func", plain)
            value = yield
    elif is_taken(fixturedef.func) and LAB in fixturedef.argnames:
        pytest.fail(f"fixture `{fixturedef.argname}`: {TAKEN}", pytrace=False)
    else:
        value = yield
    if LAB in fixturedef.argnames and STAGE in request.node.stash:
        request.node.stash[STAGE].held = True
    return value


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Keep the test as it is written, before another plugin makes something else of it."""
    item.stash[RUNS] = True
    if STAGE in item.stash and isinstance(item, pytest.Function):
        item.stash[TEST] = item.obj
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run a test with a lab on its stage."""
    stage = pyfuncitem.stash.get(STAGE, None)
    if stage is None or stage.lab is None:
        return (yield)
    test = pyfuncitem.stash[TEST]
    if not inspect.iscoroutinefunction(test):
        pytest.fail(NO_COROUTINE, pytrace=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyfuncitem, "obj", plain_test(test, stage))
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what the peers did, whatever it is that failed."""
    report = yield
    stage = item.stash.get(STAGE, None)
    if stage is not None:
        if report.failed:
            _add_evidence(item, stage, call, report)
        if report.when == "teardown":
            stage.clear()
            del item.stash[STAGE]
            item.config.stash[STAGES].remove(stage)
    return report


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> bool | None:
    """Let a thread of pytest-timeout end a test with a lab, not the process."""
    if settings.method != "thread" or LAB not in getattr(item, "fixturenames", ()):
        return None

    def give_up(words: str) -> None:
        stage = item.stash.get(STAGE, None)
        if stage is not None and (
            failure := stage.take_evidence(ScenarioError(words), _again(item, stage))
        ):
            item.config.get_terminal_writer().line(f"artefacts  {failure.artefacts}")
        sys.modules["pytest_timeout"].timeout_timer(item, settings)

    timer = Timer(settings, lambda: item.stash.get(STAGE, None), give_up)
    # pytest-timeout looks there for what ends a timer.
    item.cancel_timeout = timer.cancel  # type: ignore[attr-defined]
    return True


def _add_evidence(
    item: pytest.Item, stage: Stage, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    raised = None if call.excinfo is None else call.excinfo.value
    # A test that was to fail and did not has no exception, only the words of the report.
    told = report.longreprtext if raised is None else words(raised)
    error = raised if isinstance(raised, ScenarioError) else ScenarioError(told)
    failure = stage.take_evidence(error, _again(item, stage))
    if failure is None:
        return
    lines = [
        f"expected   {failure.expectation}",
        *(f"evidence   {line}" for line in failure.lines),
        f"artefacts  {failure.artefacts}",
        f"run again  {failure.command}",
    ]
    report.sections.append((f"Captured lanspread {report.when}", "\n".join(lines)))


def _again(item: pytest.Item, stage: Stage) -> str:
    ground, settings = stage.ground, stage.settings
    if ground is None or settings is None:
        return ""
    name, binary = ground.backend.name, settings.binary
    return command_again(item.config, item, backend=name, binary=binary, seed=settings.seed)
