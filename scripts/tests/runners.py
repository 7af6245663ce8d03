"""Identities of runners that are dead, alive, or of whom nothing can be known."""

from __future__ import annotations

from dataclasses import replace

from lanspread_harness.identity import Identity, runner_identity


def own() -> Identity:
    identity = Identity.parse(runner_identity())
    assert identity is not None
    return identity


def dead_runner() -> str:
    """Had the pid of this process before it."""
    return str(replace(own(), started=own().started - 1))


def living_runner() -> str:
    """The first process of this namespace, which is not this one."""
    with open("/proc/1/stat", encoding="utf-8") as stat:  # noqa: PTH123
        started = int(stat.read().rpartition(")")[2].split()[19])
    return str(replace(own(), pid=1, started=started))
