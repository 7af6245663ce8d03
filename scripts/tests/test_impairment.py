"""What a bad link does to packets, without a link: decisions on a clock of the test's own."""

from __future__ import annotations

import random
import struct

import pytest

from lanspread_harness.faults.cuts import Cut, rules, unheard
from lanspread_harness.faults.impairment import MAX_HELD, Departure, Impairment, Link
from lanspread_harness.faults.link_config import LinkConfig
from lanspread_harness.faults.link_shaper import corrupt

PACKETS = 20_000


def impairment(link: Link) -> Impairment:
    return Impairment(link, random.Random(5))


def test_a_plain_link_does_nothing() -> None:
    assert impairment(Link()).admit(1500, 3.0, held=0) == [Departure(3.0)]


def test_shares_are_kept() -> None:
    bad = impairment(Link(delay_ms=1, loss=0.1, duplicate=0.2, corrupt=0.3, reorder=0.4))
    for _ in range(PACKETS):
        bad.admit(100, 0, held=0)
    counters = bad.counters
    through = PACKETS - counters.lost
    assert counters.lost == pytest.approx(0.1 * PACKETS, rel=0.1)
    assert counters.duplicated == pytest.approx(0.2 * through, rel=0.1)
    assert counters.corrupted == pytest.approx(0.3 * through, rel=0.1)
    assert counters.overtook == pytest.approx(0.4 * through, rel=0.1)


def test_the_same_seed_takes_the_same_chances() -> None:
    link = Link(delay_ms=10, jitter_ms=5, loss=0.5, duplicate=0.5)
    first, second = impairment(link), impairment(link)
    for number in range(100):
        assert first.admit(100, number, held=0) == second.admit(100, number, held=0)


def test_a_rate_spaces_packets_and_its_queue_is_bounded() -> None:
    slow = impairment(Link(rate_mbit=8, queue_ms=5))
    # A thousand bytes take a millisecond: one goes at once, and the next ones wait for up to five.
    departures = [slow.admit(1000, 0, held=0) for _ in range(10)]
    times_s = [departure.at_s for sent in departures for departure in sent]
    assert times_s == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005, 0.006])
    assert slow.counters.queue_full == 4
    assert [d.at_s for d in slow.admit(1000, 1.0, held=0)] == pytest.approx([1.001])


def test_delay_and_jitter_stay_in_their_bounds() -> None:
    late = impairment(Link(delay_ms=100, jitter_ms=20))
    delays = [late.admit(100, 0, held=0)[0].at_s for _ in range(PACKETS)]
    assert min(delays) >= 0.08
    assert max(delays) <= 0.12
    assert sum(delays) / PACKETS == pytest.approx(0.1, rel=0.01)


def test_too_many_packets_on_the_way_are_counted_apart() -> None:
    full = impairment(Link(delay_ms=1000))
    assert full.admit(100, 0, held=MAX_HELD) == []
    assert (full.counters.overflowed, full.counters.lost) == (1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": 1.1},
        {"loss": -0.1},
        {"jitter_ms": 1.0},
        {"delay_ms": -1.0},
        {"reorder": 0.5},
        {"rate_mbit": 0.0},
        {"queue_ms": 0.0},
    ],
)
def test_impossible_links_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Link(**fields)


def test_links_survive_the_way_to_the_wire() -> None:
    links = LinkConfig(Link(loss=0.5), Link(delay_ms=10, rate_mbit=5))
    assert LinkConfig.from_json(links.to_json()) == links


def test_corruption_of_udp_is_one_bit_of_the_payload_and_no_checksum() -> None:
    ethernet = bytes(12) + b"\x08\x00"
    ip = bytearray(20)
    ip[0], ip[9] = 0x45, 17
    frame = ethernet + bytes(ip) + struct.pack(">HHHH", 1, 2, 8 + 100, 0xBEEF) + bytes(100)
    changed = corrupt(frame, random.Random(1))
    assert changed[:40] == frame[:40]
    assert changed[40:42] == b"\0\0"
    assert sum(byte.bit_count() for byte in changed[42:]) == 1


ADDRESSES = {"alpha": "10.0.0.1", "bravo": "10.0.0.2", "charlie": "10.0.0.3"}


def test_cuts_say_who_hears_nothing_of_whom() -> None:
    one_way = [Cut("alpha", "bravo")]
    assert unheard(one_way, "bravo", ADDRESSES) == ["10.0.0.1"]
    assert unheard(one_way, "alpha", ADDRESSES) == []
    alone = [Cut(None, "alpha"), Cut("alpha", None)]
    assert unheard(alone, "alpha", ADDRESSES) == ["10.0.0.2", "10.0.0.3"]
    assert unheard(alone, "bravo", ADDRESSES) == ["10.0.0.1"]


def test_rules_replace_what_was_there() -> None:
    assert "drop" not in rules([])
    assert "ip saddr { 10.0.0.1, 10.0.0.2 } drop" in rules(["10.0.0.1", "10.0.0.2"])
    assert rules(["10.0.0.1"]).startswith(rules([]))
