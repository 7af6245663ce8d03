"""Whatever pytest and its plugins put around a test with a lab works, or it is said why not."""

from __future__ import annotations

import pytest
from test_pytest_plugin import run

from lanspread_harness.cli import REPOSITORY

pytest_plugins = ["pytester"]

ECHO = """
import asyncio
import contextvars
import unittest

import pytest
from lanspread_harness import Lab, Need

async def echo(lab, name="alpha"):
    peer = await lab.peer(name)
    assert (await peer.command("echo", text="x")).text("text") == "x"
    return peer
"""

FIXTURES = """
VARIABLE = contextvars.ContextVar("VARIABLE")
STEPS = []

@pytest.fixture
def game(lab):
    return lab.game("quake")

@pytest.fixture
async def alpha(lab):
    return await echo(lab, "alpha")

@pytest.fixture
async def bravo(lab, alpha):
    VARIABLE.set("of the fixture")
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
        peer = await lab.peer("bravo")
        yield peer
        # It is alive still, whatever became of the test.
        assert (await peer.command("echo", text="y")).text("text") == "y"
    STEPS.append("bravo")

@pytest.fixture
def charlie(lab, bravo):
    yield lab
    STEPS.append("charlie")

@pytest.fixture
async def number():
    await asyncio.sleep(0)
    yield 5
    STEPS.append("number")

@pytest.fixture(params=[1, 2])
async def varied(lab, request):
    return request.param

@pytest.fixture(autouse=True)
async def always():
    yield
    STEPS.append("always")

async def test_a_sync_fixture(lab, game):
    assert game.id == "quake"
    await echo(lab)

async def test_an_async_fixture(alpha, lab):
    assert (await alpha.command("echo", text="x")).text("text") == "x"

async def test_a_generator(number, bravo):
    assert number == 5
    assert VARIABLE.get() == "of the fixture"
    assert (await bravo.command("echo", text="x")).text("text") == "x"

async def test_they_were_left_in_order(lab):
    assert STEPS[-3:] == ["bravo", "number", "always"]

async def test_a_generator_over_async_ones(charlie):
    await echo(charlie, "delta")

@pytest.mark.xfail(strict=True, raises=AssertionError)
async def test_a_failure_leaves_the_lab_to_fixtures(bravo):
    assert False

async def test_a_fixture_with_parameters(varied, lab):
    await echo(lab)

@pytest.mark.usefixtures("lab")
async def test_it_is_used_without_its_name():
    await asyncio.sleep(0)

@pytest.mark.parametrize("name", ["alpha", "bra vo"], ids=["a b", "c[d]"])
async def test_parametrised(lab, name):
    await echo(lab, name.replace(" ", ""))

class TestClass:
    @pytest.fixture
    async def own(self, lab):
        self.there = True
        yield await echo(lab)

    async def test_method(self, own, lab: Lab, tmp_path):
        assert self.there
        await echo(lab, "bravo")

class TestOverride:
    @pytest.fixture
    async def lab(self, lab):
        await echo(lab)
        return lab

    async def test_override(self, lab):
        await echo(lab, "bravo")
"""

DYNAMIC = """
@pytest.fixture
def dynamic(request):
    lab = request.getfixturevalue("lab")
    yield lab
    assert lab.peers[0].running

async def test_a_fixture_that_asks_later(dynamic):
    await echo(dynamic)
"""

FIXTURES_FAIL = """
@pytest.fixture
async def fails(lab):
    await (await lab.peer("alpha")).command("echo", text="remember setup")
    assert 1 == 2

@pytest.fixture
def fails_too(lab):
    assert 3 == 4

@pytest.fixture
async def fails_at_its_end(lab):
    peer = await lab.peer("alpha")
    yield peer
    await peer.command("echo", text="remember teardown")
    assert 5 == 6

@pytest.fixture
async def skips(lab):
    pytest.skip("not here")

@pytest.fixture
async def yields_twice(lab):
    yield 1
    yield 2

@pytest.fixture
async def unclean(lab):
    return await lab.peer("unclean")

async def test_setup(fails):
    pass

async def test_setup_of_a_sync_one(fails_too):
    pass

async def test_teardown(fails_at_its_end):
    pass

async def test_skip(skips):
    pass

async def test_twice(yields_twice):
    pass

async def test_unclean(unclean):
    pass
"""

MARKS_OF_OTHERS = """
import pytest_asyncio

@pytest.fixture
async def alpha(lab):
    return await echo(lab)

@pytest_asyncio.fixture
async def bravo(lab):
    yield await echo(lab, "bravo")

@pytest.mark.asyncio
async def test_asyncio(lab):
    await echo(lab)

@pytest.mark.asyncio
async def test_asyncio_with_fixtures(bravo):
    assert (await bravo.command("echo", text="x")).text("text") == "x"

async def test_a_fixture_of_asyncio(lab, bravo):
    assert (await bravo.command("echo", text="x")).text("text") == "x"

@pytest.mark.anyio
async def test_anyio(alpha):
    import anyio
    with anyio.fail_after(60):
        assert (await alpha.command("echo", text="x")).text("text") == "x"

class TestMarked:
    pytestmark = [pytest.mark.asyncio, pytest.mark.lanspread(needs={Need.LINKS})]

    @pytest.mark.lanspread(timeout_s=0.5)
    async def test_marks_of_the_class_hold_too(self, lab):
        pass
"""

TRIO = """
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio", ("trio", {})])
@pytest.mark.anyio
async def test_it(lab, anyio_backend):
    await echo(lab)

@pytest.fixture
async def first():
    pass

@pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
async def test_a_fixture_comes_first(first, lab, anyio_backend):
    pass
"""

SYNC = """
def test_sync(lab):
    pass

@pytest.mark.usefixtures("lab")
def test_sync_too():
    pass

def test_later(request):
    request.getfixturevalue("lab")

class TestOfUnittest(unittest.TestCase):
    @pytest.mark.usefixtures("lab")
    def test_it(self):
        pass
"""

HYPOTHESIS = """
from hypothesis import given, strategies

@given(number=strategies.integers())
async def test_it(lab, number):
    pass
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_fixtures_over_a_lab(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(ECHO + FIXTURES)
    result = run(pytester, "--basetemp", "base", f"--asyncio-mode={mode}")
    result.assert_outcomes(passed=12, xfailed=1)
    assert not list(pytester.path.glob("base/lab[0-9]*"))


def test_fixtures_over_a_lab_without_other_plugins(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ECHO + FIXTURES)
    others = ("-p", "no:asyncio", "-p", "no:anyio")
    run(pytester, *others).assert_outcomes(passed=12, xfailed=1)


def test_a_fixture_may_ask_for_the_lab_later(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ECHO + DYNAMIC)
    run(pytester).assert_outcomes(passed=1)


def test_fixtures_that_fail_have_evidence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ECHO + FIXTURES_FAIL)
    result = run(pytester, "--basetemp", "base", "-p", "no:asyncio")
    result.assert_outcomes(passed=3, skipped=1, errors=5)
    result.stdout.fnmatch_lines(["*Captured lanspread setup*", "*remember setup*"])
    result.stdout.fnmatch_lines(["*Captured lanspread teardown*", "*remember teardown*"])
    result.stdout.fnmatch_lines(["the fixture `yields_twice` has more than one `yield`"])
    result.stdout.fnmatch_lines(["*unclean exits cleanly*"])
    written = list(pytester.path.glob("base/lab[0-9]*/failure.txt"))
    assert len(written) == 5
    assert not list(pytester.path.glob("base/lab[0-9]*/peers"))


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_marks_of_other_plugins_do_no_harm(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(ECHO + MARKS_OF_OTHERS)
    result = run(pytester, f"--asyncio-mode={mode}", "-W", "error::pytest.PytestWarning", "-rs")
    result.assert_outcomes(passed=4, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*peers share loopback*"])


def test_trio_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ECHO + TRIO)
    result = run(pytester, "-rs")
    result.assert_outcomes(passed=2, skipped=3)
    result.stdout.fnmatch_lines(["SKIPPED*a lab runs on asyncio*"])


def test_what_cannot_have_a_lab_says_why(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ECHO + SYNC)
    result = run(pytester)
    result.assert_outcomes(failed=3, errors=1)
    output = result.stdout.str()
    assert output.count("must be a plain `async def`") >= 2
    result.stdout.fnmatch_lines(["a test cannot ask for `lab` when it runs already*"])
    result.stdout.fnmatch_lines(["a `unittest.TestCase` cannot have a `lab`*"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("lanspread(5)", "not 5 by position"),
        ("lanspread(timeout=5)", "no `timeout`"),
        ("lanspread(cores=2)", "no `cores`"),
        ('lanspread(timeout_s="5")', "timeout_s cannot be '5'"),
        ("lanspread(timeout_s=0)", "timeout_s cannot be 0"),
        ("lanspread(timeout_s=True)", "timeout_s cannot be True"),
        ('lanspread(timeout_s=float("nan"))', "timeout_s cannot be nan"),
        ("lanspread(needs=Need.MDNS)", "needs cannot be <Need.MDNS: 'mdns'>, but {"),
        ('lanspread(needs={"mDNS"})', "'mDNS' is not a valid Need, they are mdns, links"),
        ("trio", "cannot run on trio"),
    ],
)
@pytest.mark.parametrize("fixture", ["lab", "tmp_path"])
def test_marks_that_would_be_ignored_are_refused(
    pytester: pytest.Pytester, source: str, words: str, fixture: str
) -> None:
    if source == "trio" and fixture != "lab":
        pytest.skip("what is on trio without a lab is no matter of this plugin")
    pytester.makepyfile(f"{ECHO}\n@pytest.mark.{source}\nasync def test_it({fixture}): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    assert words in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_a_mark_of_a_parameter_is_refused_as_well(pytester: pytest.Pytester) -> None:
    case = "pytest.param(1, marks=pytest.mark.lanspread(5))"
    pytester.makepyfile(
        f"{ECHO}\n@pytest.mark.parametrize('n', [{case}])\nasync def test_it(lab, n): pass"
    )
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*not 5 by position*"])


def test_hypothesis_says_why_not(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ECHO + HYPOTHESIS)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a lab is of one run*"])
