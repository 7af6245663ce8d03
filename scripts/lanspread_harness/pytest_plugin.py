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

from lanspread_harness.backend_factory import BACKENDS, check_backend, make_backend
from lanspread_harness.build import find_binary, find_checkout
from lanspread_harness.deprecation import warn_deprecated
from lanspread_harness.errors import HarnessError, UsageError
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.exfat import sweep_exfat
from lanspread_harness.identity import unique_token
from lanspread_harness.lab import LabSettings
from lanspread_harness.orphan_cleanup import kill_orphans
from lanspread_harness.pytest_lab.lab_test_run import LabTestRun, SessionContext
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
from lanspread_harness.pytest_lab.outcomes import as_scenario_error
from lanspread_harness.pytest_lab.rerun_command import rerun_command
from lanspread_harness.pytest_lab.sync_wrappers import is_async, wrap_fixture, wrap_test
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

TEST_RUN: pytest.StashKey[LabTestRun] = pytest.StashKey()
TEST: pytest.StashKey[Callable[..., Any]] = pytest.StashKey()
HAS_BEGUN: pytest.StashKey[bool] = pytest.StashKey()
"""There from the begin of the test itself on."""
TEST_RUNS: pytest.StashKey[list[LabTestRun]] = pytest.StashKey()
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
    config.stash[TEST_RUNS] = []
    config.addinivalue_line(
        "markers",
        "lanspread(timeout_s, needs): how long a test with a lab may take, and what its backend "
        "must offer",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Clear up after a test that an interrupt has ended, of which there is no report."""
    for test_run in session.config.stash[TEST_RUNS]:
        test_run.clear(interrupted=True)


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
def lanspread_session(
    pytestconfig: pytest.Config, lanspread_binary: Path
) -> Iterator[SessionContext]:
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
    yield SessionContext(lanspread_binary, schema, backend, seed, keep)
    asyncio.run(_sweep(backend))
    asyncio.run(backend.close())


async def _sweep(backend: Backend) -> None:
    await backend.sweep()
    await sweep_exfat()
    await sweep_disks()


@pytest.fixture
def lanspread_test_run(request: pytest.FixtureRequest) -> Iterator[LabTestRun]:
    """The loop that a test with a lab and its async fixtures run in."""
    if "anyio_backend" in request.fixturenames:
        name = request.getfixturevalue("anyio_backend")
        if (name if isinstance(name, str) else name[0]) != "asyncio":
            pytest.skip(TRIO)
    test_run = LabTestRun(meta_of(request.node).timeout_s)
    request.node.stash[TEST_RUN] = test_run
    request.config.stash[TEST_RUNS].append(test_run)
    yield test_run
    test_run.close()


@pytest.fixture(scope="session")
def lanspread_ground(lanspread_session: SessionContext) -> SessionContext:
    """Deprecated name of `lanspread_session`."""
    warn_deprecated("fixture lanspread_ground", "lanspread_session")
    return lanspread_session


@pytest.fixture
def lanspread_stage(lanspread_test_run: LabTestRun) -> LabTestRun:
    """Deprecated name of `lanspread_test_run`."""
    warn_deprecated("fixture lanspread_stage", "lanspread_test_run")
    return lanspread_test_run


@pytest.fixture
def lab(
    request: pytest.FixtureRequest,
    lanspread_session: SessionContext,
    lanspread_test_run: LabTestRun,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """A lab of the test's own: a `lanspread_harness.Lab`, open until the test has ended."""
    if request.cls is not None and issubclass(request.cls, unittest.TestCase):
        pytest.fail(UNITTEST, pytrace=False)
    if HAS_BEGUN in request.node.stash:
        pytest.fail(TOO_LATE, pytrace=False)
    reason = lanspread_session.backend.unsupported(meta_of(request.node).needs)
    if reason is not None:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("lab")
    # Labs of two sessions at a time share the network of the machine, so names must differ.
    lab_id = f"lab-{unique_token()}-{directory.name}"
    settings = LabSettings(lab_id, lanspread_session.seed, directory, lanspread_session.binary)
    # Only a fixture can ask for it without being seen to.
    lanspread_test_run.held = LAB not in request.node.fixturenames
    yield lanspread_test_run.open(lanspread_session, settings)
    lanspread_test_run.end_lab()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Run the async fixtures of a test with a lab in the lab's loop, and note who holds the lab."""
    if fixturedef.scope != "function":
        return (yield)
    if LAB not in request.fixturenames and TEST_RUN not in request.node.stash:
        return (yield)
    if is_async(fixturedef.func):

        def test_run() -> LabTestRun:
            found: LabTestRun = request.getfixturevalue("lanspread_test_run")
            return found

        plain = wrap_fixture(fixturedef.func, request.instance, fixturedef.argname, test_run)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fixturedef, "func", plain)
            value = yield
    elif is_taken(fixturedef.func) and LAB in fixturedef.argnames:
        pytest.fail(f"fixture `{fixturedef.argname}`: {TAKEN}", pytrace=False)
    else:
        value = yield
    if LAB in fixturedef.argnames and TEST_RUN in request.node.stash:
        request.node.stash[TEST_RUN].held = True
    return value


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Keep the test as it is written, before another plugin makes something else of it."""
    item.stash[HAS_BEGUN] = True
    if TEST_RUN in item.stash and isinstance(item, pytest.Function):
        item.stash[TEST] = item.obj
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run a test with a lab in its test run."""
    test_run = pyfuncitem.stash.get(TEST_RUN, None)
    if test_run is None or test_run.lab is None:
        return (yield)
    test = pyfuncitem.stash[TEST]
    if not inspect.iscoroutinefunction(test):
        pytest.fail(NO_COROUTINE, pytrace=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyfuncitem, "obj", wrap_test(test, test_run))
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what the peers did, whatever it is that failed."""
    report = yield
    test_run = item.stash.get(TEST_RUN, None)
    if test_run is not None:
        if report.failed:
            _add_evidence(item, test_run, call, report)
        if report.when == "teardown":
            test_run.clear()
            del item.stash[TEST_RUN]
            item.config.stash[TEST_RUNS].remove(test_run)
    return report


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> bool | None:
    """Let a thread of pytest-timeout end a test with a lab, not the process."""
    if settings.method != "thread" or LAB not in getattr(item, "fixturenames", ()):
        return None

    def give_up(words: str) -> None:
        test_run = item.stash.get(TEST_RUN, None)
        if test_run is not None and (
            failure := test_run.take_evidence(
                as_scenario_error(words), _rerun_command(item, test_run)
            )
        ):
            item.config.get_terminal_writer().line(f"artefacts  {failure.artefacts}")
        sys.modules["pytest_timeout"].timeout_timer(item, settings)

    timer = Timer(settings, lambda: item.stash.get(TEST_RUN, None), give_up)
    # pytest-timeout looks there for what ends a timer.
    item.cancel_timeout = timer.cancel  # type: ignore[attr-defined]
    return True


def _add_evidence(
    item: pytest.Item, test_run: LabTestRun, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    raised = None if call.excinfo is None else call.excinfo.value
    # A test that was to fail and did not has no exception, only the text of the report.
    error = as_scenario_error(report.longreprtext if raised is None else raised)
    failure = test_run.take_evidence(error, _rerun_command(item, test_run))
    if failure is None:
        return
    lines = [
        *failure.labelled,
        f"artefacts  {failure.artefacts}",
        f"run again  {failure.command}",
    ]
    report.sections.append((f"Captured lanspread {report.when}", "\n".join(lines)))


def _rerun_command(item: pytest.Item, test_run: LabTestRun) -> str:
    session, settings = test_run.session, test_run.settings
    if session is None or settings is None:
        return ""
    name, binary = session.backend.name, settings.binary
    return rerun_command(item.config, item, backend=name, binary=binary, seed=settings.seed)
