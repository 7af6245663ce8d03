"""What becomes of each packet on a bad link: decisions only, on a clock that the caller has.

A packet is first lost, or not. One that is not waits for its turn where the link has a rate, then
for the delay and its jitter. A packet that overtakes waits for its turn alone. A copy leaves with
its original; a corrupted packet has one bit of what it carries turned over.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

MAX_HELD = 65_536
"""Packets on the way at a time: 100 MB, and 0.7 s of a link of 1 Gbit/s. More are lost, and counted
apart from those that were to be lost."""

BITS_PER_BYTE = 8


@dataclass(frozen=True, slots=True)
class Link:
    """How bad a link is, for the packets of one direction; as it comes, it does nothing.

    `loss`, `duplicate`, `corrupt` and `reorder` are shares of all packets, from 0 to 1.
    """

    delay_ms: float = 0
    """Added to each packet, so a round trip over a link that is bad in both directions takes twice
    as much longer."""
    jitter_ms: float = 0
    """Each packet's delay is drawn evenly from `delay_ms` less and more this. Packets that follow
    each other more closely change places."""
    loss: float = 0
    duplicate: float = 0
    corrupt: float = 0
    reorder: float = 0
    """Overtake: they go without delay. Needs a delay."""
    rate_mbit: float | None = None
    """Megabits a second, counted from the Ethernet header on."""
    queue_ms: float = 50
    """How long a packet waits at most for its turn at this rate; the link drops those that would
    have to wait longer, as a switch does whose buffer is full."""

    def __post_init__(self) -> None:
        for share in ("loss", "duplicate", "corrupt", "reorder"):
            if not 0 <= getattr(self, share) <= 1:
                raise ValueError(f"{share} is a share from 0 to 1")
        if not 0 <= self.jitter_ms <= self.delay_ms:
            raise ValueError("jitter_ms is at most delay_ms, and neither is negative")
        if self.reorder and not self.delay_ms:
            raise ValueError("reorder needs delay_ms: packets overtake those that wait")
        if self.rate_mbit is not None and self.rate_mbit <= 0:
            raise ValueError("rate_mbit is more than 0; a link that carries nothing is a partition")
        if self.queue_ms <= 0:
            raise ValueError("queue_ms is more than 0")

    def as_detail(self) -> dict[str, float]:
        """What is out of the ordinary, for the history."""
        usual = Link()
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in given.items() if value != getattr(usual, name)}


@dataclass(slots=True)
class Counters:
    """What became of the packets of one direction."""

    seen: int = 0
    lost: int = 0
    queue_full: int = 0
    """Dropped because of the rate."""
    overflowed: int = 0
    """Dropped because of `MAX_HELD`: the fault was stronger than asked for."""
    duplicated: int = 0
    corrupted: int = 0
    overtook: int = 0

    def as_detail(self) -> dict[str, int]:
        """All that is not zero."""
        return {name: count for name, count in asdict(self).items() if count}


@dataclass(frozen=True, slots=True)
class Departure:
    """When a packet goes on, and whether as it was."""

    at_s: float
    corrupted: bool = False


class Impairment:
    """One direction of a link."""

    def __init__(self, link: Link, rng: random.Random) -> None:
        self.link = link
        self.counters = Counters()
        self._random = rng
        self._free_at_s = 0.0

    def admit(self, size_bytes: int, now_s: float, held: int) -> list[Departure]:
        """When a packet that comes now leaves, once for each copy; `held` are still on the way."""
        link, counters = self.link, self.counters
        counters.seen += 1
        if self._chance(link.loss):
            counters.lost += 1
            return []
        if held >= MAX_HELD:
            counters.overflowed += 1
            return []
        turn_s = self._turn(size_bytes, now_s)
        if turn_s is None:
            counters.queue_full += 1
            return []
        corrupted = self._chance(link.corrupt)
        counters.corrupted += corrupted
        departure = Departure(turn_s + self._delay_s(), corrupted)
        if not self._chance(link.duplicate):
            return [departure]
        counters.duplicated += 1
        return [departure, departure]

    def _turn(self, size_bytes: int, now_s: float) -> float | None:
        if self.link.rate_mbit is None:
            return now_s
        begins_s = max(now_s, self._free_at_s)
        if begins_s - now_s > self.link.queue_ms / 1e3:
            return None
        self._free_at_s = begins_s + size_bytes * BITS_PER_BYTE / (self.link.rate_mbit * 1e6)
        return self._free_at_s

    def _delay_s(self) -> float:
        if self._chance(self.link.reorder):
            self.counters.overtook += 1
            return 0
        jitter_ms = self.link.jitter_ms
        return (self.link.delay_ms + self._random.uniform(-jitter_ms, jitter_ms)) / 1e3

    def _chance(self, share: float) -> bool:
        # Asks for a number only where it matters, so that one fault does not shift another's.
        return share > 0 and self._random.random() < share
