"""Decides which scenario begins when, and which shard it belongs to. It has no effects.

`runner` asks it before each start. The same scenarios, budget and durations give the same order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lanspread_harness.scenario import Scenario

SEED_BYTES = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """What the machine has for scenarios that run at a time; `jobs` bounds their number."""

    jobs: int
    cores: float
    memory_mib: int
    peers: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several runs that together are one: the `index`th (from 1) of `count`."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class Job:
    """One execution of a scenario: the `repetition`th (from 1) of `repetitions`, with its seed."""

    scenario: Scenario
    seed: int
    repetition: int = 1
    repetitions: int = 1

    @property
    def label(self) -> str:
        """What it is called; also the name of its directory."""
        if self.repetitions == 1:
            return self.scenario.id
        return f"{self.scenario.id}-{self.repetition}"


def jobs_of(scenarios: Sequence[Scenario], seed: int, repetitions: int) -> list[Job]:
    """Every scenario as often as asked for, each time with another seed that `seed` decides.

    The first has `seed` itself, so that one repetition is what `--seed` alone would run.
    """
    return [
        Job(scenario, seed_of(seed, repetition), repetition, repetitions)
        for scenario in scenarios
        for repetition in range(1, repetitions + 1)
    ]


def seed_of(base: int, repetition: int) -> int:
    """The seed of a repetition."""
    if repetition == 1:
        return base
    digest = hashlib.sha256(f"{base}/{repetition}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big")


def in_order(jobs: Sequence[Job], durations_s: Mapping[str, float]) -> list[Job]:
    """Longest first, so that the last ones to end are short; those that run alone come last.

    `durations_s` are measured ones by id, which go before what a scenario expects of itself.
    """

    def key(job: Job) -> tuple[bool, float]:
        expected_s = durations_s.get(job.scenario.id, job.scenario.meta.expected_s)
        return job.scenario.meta.alone, -expected_s

    return sorted(jobs, key=key)


def next_to_begin(waiting: Sequence[Job], running: Sequence[Job], budget: Budget) -> Job | None:
    """The first that has room beside those that run; `None` where all must wait.

    Where nothing runs the first begins, whatever it takes: it will not get more room.
    """
    if not running:
        return next(iter(waiting), None)
    if len(running) >= budget.jobs or any(job.scenario.meta.alone for job in running):
        return None
    return next((job for job in waiting if _has_room(job, running, budget)), None)


def _has_room(job: Job, running: Sequence[Job], budget: Budget) -> bool:
    metas = [job.scenario.meta, *(other.scenario.meta for other in running)]
    return (
        not job.scenario.meta.alone
        and sum(meta.cores for meta in metas) <= budget.cores
        and sum(meta.memory_mib for meta in metas) <= budget.memory_mib
        and sum(meta.peers for meta in metas) <= budget.peers
    )


def of_shard(scenarios: Sequence[Scenario], shard: Shard) -> list[Scenario]:
    """The shard's part of the scenarios, in the order given.

    Each, longest first, goes to the shard that has least to do. That depends on nothing but the
    scenarios, so runs on different machines agree on it.
    """
    loads_s = [0.0] * shard.count
    mine: set[str] = set()
    for scenario in sorted(scenarios, key=lambda s: (-s.meta.expected_s, s.id)):
        lightest = loads_s.index(min(loads_s))
        loads_s[lightest] += scenario.meta.expected_s
        if lightest == shard.index - 1:
            mine.add(scenario.id)
    return [scenario for scenario in scenarios if scenario.id in mine]
