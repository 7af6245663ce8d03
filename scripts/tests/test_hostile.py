"""Attacks: how they are started, awaited and ended, and what counts as harm."""

from __future__ import annotations

import asyncio
import json
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from conftest import FAKE_PEER, run_bare

from lanspread_harness.backends import HOSTILE_PROGRAM, Need
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.errors import ExpectationError, RecordTimeoutError, ScenarioError
from lanspread_harness.hostile import (
    Aimed,
    Attack,
    Comparison,
    Say,
    attacked,
    expect_not_slower,
    expect_unharmed,
    mdns,
    silent,
    sink,
)
from lanspread_harness.hostile.program import Tally
from lanspread_harness.lab import LabSettings, open_lab

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lanspread_harness.lab import Lab
    from lanspread_harness.schema import Schema

COUNTS = [field for field in Tally.__dataclass_fields__ if field != "opened"]

PROGRAM = f"""\
    #!/usr/bin/env python3
    import json, sys
    if "--die" in sys.argv:
        sys.exit("the network is down")
    listen = "127.0.0.1:7" if "--listen" in sys.argv else None
    print(json.dumps({{"type": "ready", "addr": listen}}), flush=True)
    for opened, line in enumerate(sys.stdin, 1):
        told = dict.fromkeys({COUNTS!r}, 0)
        print(json.dumps({{"type": "tally", "opened": opened, **told}}), flush=True)
    print(json.dumps({{"type": "end", "opened": 9, **told}}), flush=True)
    """

InHostileLab: TypeAlias = "Callable[[Callable[[Lab], Awaitable[None]]], None]"


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """A peer with a program beside it that attacks nobody, but tells what attacks tell."""
    program = tmp_path / HOSTILE_PROGRAM
    program.write_text(textwrap.dedent(PROGRAM))
    program.chmod(0o755)
    return Path(shutil.copy(FAKE_PEER, tmp_path / "lanspread-peer-cli"))


@pytest.fixture
def in_hostile_lab(tmp_path: Path, binary: Path, schema: Schema) -> InHostileLab:
    async def run(body: Callable[[Lab], Awaitable[None]]) -> None:
        settings = LabSettings("lab-test", 1, tmp_path / "lab", binary)
        async with open_lab(settings, ProcessBackend(binary), schema) as lab:
            await body(lab)

    return lambda body: run_bare(run(body))


def knock(targets: tuple[str, ...] = ("127.0.0.1:9",)) -> Attack:
    return silent(targets, rate=40, say=Say.WINDOWS)


def test_an_attack_comes_from_a_place_of_its_own() -> None:
    arguments = knock().arguments("127.5.6.10:0", "party", 0.25)
    assert arguments[:5] == ["silent", "--target", "127.0.0.1:9", "--bind", "127.5.6.10"]
    assert arguments[5:7] == ["--cpu", "0.25"]
    assert "--network" not in arguments
    assert sink().arguments("0.0.0.0:0", "party", 1)[1:5] == [
        *("--listen", "0.0.0.0:0", "--network", "party")
    ]
    points = mdns(["198.51.100.1:9"], rate=10, goodbyes=["id"]).arguments("0.0.0.0:0", "party", 1)
    assert {"--points-to", "--goodbye", "--network"} <= set(points)
    assert "--target" not in points


def test_a_scenario_waits_for_what_an_attack_has_done(in_hostile_lab: InHostileLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        async with lab.hostile("mallory", knock((alpha.addr,))) as mallory:
            tally = await mallory.until("to knock", lambda tally: tally.opened == 1)
            assert (tally.opened, tally.live) == (1, 0)
            with pytest.raises(RecordTimeoutError, match="mallory: expected to knock twice"):
                await mallory.until("to knock twice", lambda t: t.opened == 2, timeout_s=0.05)
            mallory.begin()
            await mallory.until("to knock twice", lambda tally: tally.opened == 2)
            with pytest.raises(ScenarioError, match="listens nowhere"):
                assert mallory.addr
        assert mallory.tally.opened == 9, "the last counts are those of its end"
        told = (alpha.stderr.parent / "mallory.jsonl").read_text().splitlines()
        assert [json.loads(line)["type"] for line in told] == ["ready", "tally", "tally", "end"]

    in_hostile_lab(body)


def test_attacks_begin_together_and_sinks_tell_where_they_are(in_hostile_lab: InHostileLab) -> None:
    async def body(lab: Lab) -> None:
        aimed = Aimed(lambda targets: silent(targets, rate=1), lambda tally: tally.opened == 1)
        async with lab.hostile("drain", sink()) as drain:
            assert drain.addr == "127.0.0.1:7"
            async with attacked(lab, [aimed, aimed], [drain.addr]) as mallories:
                assert [mallory.name for mallory in mallories] == ["mallory0", "mallory1"]
                assert [mallory.tally.opened for mallory in mallories] == [1, 1]

    in_hostile_lab(body)


def test_an_attack_that_ends_by_itself_fails_the_scenario(in_hostile_lab: InHostileLab) -> None:
    async def body(lab: Lab) -> None:
        async with lab.hostile("mallory", Attack("silent", (), ("--die",))):
            await asyncio.Event().wait()

    with pytest.raises(
        ScenarioError, match="to attack until it is stopped, got exit with status 1"
    ):
        in_hostile_lab(body)


def test_without_the_program_beside_the_binary_nobody_attacks(binary: Path) -> None:
    needs = frozenset({Need.HOSTILE})
    assert ProcessBackend(binary).unsupported(needs) is None
    (binary.parent / HOSTILE_PROGRAM).unlink()
    reason = ProcessBackend(binary).unsupported(needs)
    assert reason == f"there is no lanspread-hostile beside {binary}"


def test_a_download_may_take_twice_as_long_and_no_more() -> None:
    expect_not_slower(Comparison(sink_s=1.0, attack_s=2.0))
    with pytest.raises(ExpectationError, match=r"2\.01 times"):
        expect_not_slower(Comparison(sink_s=1.0, attack_s=2.01))


def test_harm_is_what_happens_to_honest_peers_alone(in_hostile_lab: InHostileLab) -> None:
    async def body(lab: Lab) -> None:
        lab.expects("peer-rejected")
        alpha = await lab.peer("alpha")
        bravo = await lab.peer("bravo")
        await alpha.command("lose", peer_id="somebody")
        expect_unharmed([alpha, bravo])
        await alpha.command("lose", peer_id=bravo.peer_id)
        with pytest.raises(ExpectationError, match="alpha tells no peer-lost of an honest peer"):
            expect_unharmed([alpha, bravo])

    in_hostile_lab(body)


def test_output_that_nobody_reads_stays_where_it_is(in_hostile_lab: InHostileLab) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        async with lab.unread(alpha):
            asked = asyncio.create_task(alpha.command("echo", number=1))
            done, _ = await asyncio.wait([asked], timeout=0.1)
            assert not done
            assert alpha.events("echoed") == []
        assert (await asked).integer("number") == 1

    in_hostile_lab(body)
