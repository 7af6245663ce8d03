"""What a test with a lab ends with is what pytest says it is, and all that failed has evidence."""

from __future__ import annotations

import pytest
from test_pytest_plugin import run

from lanspread_harness.cli import REPOSITORY

pytest_plugins = ["pytester"]

OUTCOMES = """
import asyncio
import unittest

import pytest

async def test_skip(lab):
    await lab.peer("alpha")
    pytest.skip("not here")

async def test_skip_of_unittest(lab):
    raise unittest.SkipTest("not here")

async def test_skip_in_a_task_group(lab):
    async def skips():
        pytest.skip("not here")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(skips())

async def test_skip_after_a_chain(lab):
    try:
        raise KeyError("first")
    except KeyError:
        pytest.skip("not here")

async def test_xfail(lab):
    await lab.peer("alpha")
    pytest.xfail("known")

@pytest.mark.xfail(reason="known")
async def test_marked_xfail(lab):
    assert False

@pytest.mark.xfail(reason="known", raises=ValueError, strict=True)
async def test_marked_xfail_for_one_exception(lab):
    raise ValueError("as said")

@pytest.mark.xfail(raises=ExceptionGroup, strict=True)
async def test_marked_xfail_for_a_group_of_its_own(lab):
    raise ExceptionGroup("own", [ValueError("one")])

async def test_importorskip(lab):
    pytest.importorskip("no_such_module_anywhere")

async def test_raises(lab):
    with pytest.raises(ValueError, match="as said"):
        raise ValueError("as said")
"""

FAILURES = """
import asyncio

import pytest

async def remember(lab, what):
    await (await lab.peer("alpha")).command("echo", text=f"remember {what}")

async def test_fail(lab):
    await remember(lab, "fail")
    pytest.fail("said so")

async def test_fail_without_trace(lab):
    await remember(lab, "fail_without_trace")
    pytest.fail("said so", pytrace=False)

async def test_did_not_raise(lab):
    await remember(lab, "did_not_raise")
    with pytest.raises(ValueError):
        pass

@pytest.mark.xfail(strict=True, reason="must not work")
async def test_passes_unexpectedly(lab):
    await remember(lab, "passes_unexpectedly")

async def test_fail_in_a_task_group(lab):
    await remember(lab, "fail_in_a_task_group")
    async def fails():
        pytest.fail("within")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fails())

async def test_a_group_of_its_own(lab):
    await remember(lab, "a_group_of_its_own")
    raise ExceptionGroup("two at once", [ValueError("one"), TypeError("two")])

async def test_a_chain(lab):
    await remember(lab, "a_chain")
    try:
        raise KeyError("the first")
    except KeyError as error:
        raise ValueError("the second") from error

async def test_cancelled(lab):
    await remember(lab, "cancelled")
    raise asyncio.CancelledError

async def test_skips_though(lab):
    try:
        await (await lab.peer("invents")).command("echo", text="remember skips_though")
    finally:
        pytest.skip("not here")
"""

STUCK = """
import asyncio
import time

import pytest

@pytest.mark.timeout(1, method="signal")
async def test_waits(lab):
    await (await lab.peer("alpha")).command("echo", text="remember me")
    await asyncio.Event().wait()

@pytest.mark.timeout(1, method="signal")
async def test_computes(lab):
    await (await lab.peer("alpha")).command("echo", text="remember me")
    while True:
        pass

@pytest.mark.timeout(1, method="signal")
async def test_is_busy_in_callbacks(lab):
    await (await lab.peer("alpha")).command("echo", text="remember me")
    loop = asyncio.get_running_loop()
    def again():
        time.sleep(0.01)
        loop.call_soon(again)
    again()
    await asyncio.Event().wait()

@pytest.mark.timeout(1, method="thread")
async def test_waits_and_a_thread_watches(lab):
    await (await lab.peer("alpha")).command("echo", text="remember me")
    await asyncio.Event().wait()

async def test_the_next_one_runs(lab):
    await (await lab.peer("alpha")).command("echo", text="x")
"""

HOLDS_UP = """
import pytest

@pytest.mark.timeout(1, method="thread")
async def test_computes(lab):
    await (await lab.peer("alpha")).command("echo", text="remember me")
    while True:
        pass
"""

INTERRUPTED = """
import os
import signal

import pytest

async def test_first(lab):
    await lab.peer("alpha")
    {interrupt}
    await (await lab.peer("bravo")).event("never")

async def test_second(lab):
    pass
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))


def test_outcomes_of_pytest_are_kept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(OUTCOMES)
    result = run(pytester, "--basetemp", "base", "-rsx")
    result.assert_outcomes(passed=1, skipped=5, xfailed=4)
    result.stdout.no_fnmatch_line("*ExceptionGroup: unhandled*")
    assert not list(pytester.path.glob("base/lab[0-9]*")), "what did not fail leaves nothing"


def test_every_failure_has_its_evidence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILURES)
    result = run(pytester, "--basetemp", "base")
    result.assert_outcomes(failed=9)
    output = result.stdout.str()
    result.stdout.no_fnmatch_line("*unhandled errors in a TaskGroup*")
    for name in FAILURES.split("async def test_")[1:]:
        what = name.partition("(")[0]
        assert f"remember {what}" in output.partition("Captured lanspread call")[2], what
    written = {
        path.parent.name: path.read_text() for path in pytester.path.glob("base/lab[0-9]*/f*.txt")
    }
    assert len(written) == 9
    assert [text for text in written.values() if "said so" in text.splitlines()[1]]
    histories = [path.read_text() for path in pytester.path.glob("base/lab[0-9]*/history.jsonl")]
    assert len(histories) == 9
    # All but the one that was to fail and did not, which is known only when it is over.
    assert sum('"kind": "failure"' in history for history in histories) == 8
    result.stdout.fnmatch_lines(["E*Failed: DID NOT RAISE*"])
    result.stdout.fnmatch_lines(["*KeyError: 'the first'*", "*direct cause*", "*the second*"])
    result.stdout.fnmatch_lines(["*two at once (2 sub-exceptions)*", "*TypeError: two*"])


def test_a_timeout_of_a_plugin_ends_one_test_with_evidence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(STUCK)
    result = run(pytester, "--basetemp", "base")
    result.assert_outcomes(failed=4, passed=1)
    written = [path.read_text() for path in pytester.path.glob("base/lab[0-9]*/failure.txt")]
    assert len(written) == 4
    assert all("Timeout (>1" in text and "remember me" in text for text in written)


def test_a_thread_of_a_plugin_ends_a_test_that_holds_the_loop_up(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(HOLDS_UP)
    pytester.makeconftest("from lanspread_harness.pytest_lab import timeouts; timeouts.GRACE_S = 0")
    result = run(pytester, "--basetemp", "base")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*artefacts *lab0", "*Timeout*"])
    assert "remember me" in (pytester.path / "base/lab0/failure.txt").read_text()


@pytest.mark.parametrize(
    ("interrupt", "status"),
    [
        ('pytest.exit("enough", returncode=7)', 7),
        ("raise KeyboardInterrupt", 2),
        ("os.kill(os.getpid(), signal.SIGINT)", 2),
        ("raise SystemExit", 1),
    ],
)
def test_an_interrupt_ends_the_session(
    pytester: pytest.Pytester, interrupt: str, status: int
) -> None:
    pytester.makepyfile(INTERRUPTED.format(interrupt=interrupt))
    result = run(pytester, "--basetemp", "base", "-x")
    assert result.ret == status
    result.stdout.no_fnmatch_line("*unhandled errors in a TaskGroup*")
    result.stdout.no_fnmatch_line("*2 passed*")
    assert not list(pytester.path.glob("base/lab[0-9]*/peers")), "no disk of a peer stays"
