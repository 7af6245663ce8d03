"""Order, room, shards and seeds: decisions without effects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.durations import FILE, read_durations, write_durations
from lanspread_harness.host_resources import read_host_budget
from lanspread_harness.scenario import Meta, Scenario, select
from lanspread_harness.schedule import (
    Budget,
    Job,
    Shard,
    in_order,
    jobs_of,
    next_to_begin,
    of_shard,
)

if TYPE_CHECKING:
    from lanspread_harness.lab import Lab

BUDGET = Budget(jobs=3, cores=2, memory_mib=1000, peers=20)


async def nothing(lab: Lab) -> None: ...


def scenario(number: int, meta: Meta) -> Scenario:
    return Scenario(f"S{number:02}", Path(f"s{number:02}.py"), "a promise", meta, nothing)


def job(number: int, meta: Meta) -> Job:
    return Job(scenario(number, meta), seed=1)


def test_longest_first_and_lonely_ones_last() -> None:
    jobs = [
        job(1, Meta(expected_s=5)),
        job(2, Meta(expected_s=99, alone=True)),
        job(3, Meta(expected_s=50)),
        job(4, Meta(expected_s=5)),
    ]
    assert [j.label for j in in_order(jobs, {})] == ["S03", "S01", "S04", "S02"]
    measured = {"S04": 60.0, "S02": 1.0}
    assert [j.label for j in in_order(jobs, measured)] == ["S04", "S03", "S01", "S02"]


@pytest.mark.parametrize(
    ("running", "waiting", "expected"),
    [
        ([], [], None),
        ([], [Meta(cores=99)], 0),
        ([Meta()], [Meta()], 0),
        ([Meta(cores=1), Meta(cores=1)], [Meta()], None),
        ([Meta(cores=1), Meta(cores=0.5)], [Meta(cores=1), Meta(cores=0.5)], 1),
        ([Meta(cores=0.1)] * 3, [Meta(cores=0.1)], None),
        ([Meta(memory_mib=800)], [Meta(), Meta(memory_mib=200)], 1),
        ([Meta(peers=15)], [Meta(peers=6), Meta(peers=5)], 1),
        ([Meta()], [Meta(alone=True)], None),
        ([Meta(alone=True)], [Meta()], None),
    ],
)
def test_only_what_has_room_begins(
    running: list[Meta], waiting: list[Meta], expected: int | None
) -> None:
    jobs = [job(number, meta) for number, meta in enumerate(waiting)]
    others = [job(number + 50, meta) for number, meta in enumerate(running)]
    chosen = next_to_begin(jobs, others, BUDGET)
    assert chosen is (None if expected is None else jobs[expected])


def test_shards_take_every_scenario_once_and_about_equally_long() -> None:
    scenarios = [scenario(n, Meta(expected_s=(n * 7) % 40 + 1)) for n in range(30)]
    shards = [of_shard(scenarios, Shard(index, 4)) for index in (1, 2, 3, 4)]
    ids = sorted(s.id for shard in shards for s in shard)
    assert ids == [s.id for s in scenarios]
    loads_s = [sum(s.meta.expected_s for s in shard) for shard in shards]
    assert max(loads_s) - min(loads_s) <= 40
    assert of_shard(list(reversed(scenarios)), Shard(2, 4)) == list(reversed(shards[1]))


def test_repetitions_have_directories_and_seeds_of_their_own() -> None:
    [once] = jobs_of([scenario(1, Meta())], 42, 1)
    assert (once.label, once.seed) == ("S01", 42)
    jobs = jobs_of([scenario(1, Meta()), scenario(2, Meta())], 42, 3)
    assert [j.label for j in jobs] == ["S01-1", "S01-2", "S01-3", "S02-1", "S02-2", "S02-3"]
    seeds = [j.seed for j in jobs[:3]]
    assert seeds[0] == 42
    assert len(set(seeds)) == 3
    assert seeds == [j.seed for j in jobs_of([scenario(2, Meta())], 42, 3)]


def test_long_scenarios_run_when_they_are_asked_for() -> None:
    short, long = scenario(1, Meta()), scenario(2, Meta(long=True))
    assert select([short, long], []) == [short]
    assert select([short, long], [], long=True) == [short, long]
    assert select([short, long], ["s02"]) == [long]


def test_durations_outlive_a_run_and_a_broken_file(tmp_path: Path) -> None:
    assert read_durations(tmp_path, "process") == {}
    write_durations(tmp_path, "process", {"S01": 1.5, "S02": 2})
    write_durations(tmp_path, "docker", {"S01": 7})
    write_durations(tmp_path, "process", {"S02": 3})
    assert read_durations(tmp_path, "process") == {"S01": 1.5, "S02": 3}
    assert read_durations(tmp_path, "docker") == {"S01": 7}
    for broken in ("{", "[]", '{"process": 4}', '{"process": {"S01": "x"}}'):
        (tmp_path / FILE).write_text(broken)
        assert read_durations(tmp_path, "process") == {}
        write_durations(tmp_path, "process", {"S01": 2})
        assert read_durations(tmp_path, "process") == {"S01": 2}


def test_the_machine_has_room_for_something() -> None:
    budget = read_host_budget(None)
    assert budget.cores >= 2
    assert budget.memory_mib > 0
    assert budget.peers > 0
    assert read_host_budget(7).jobs == 7
    assert read_host_budget(7).cores >= 7
