"""The clocks of peers, laid on the clock of the runner.

A record has two times: `t_us` of the peer's clock, which starts at zero with each run, and when the
runner read it. All clocks are the monotonic clock of one kernel and run at the same speed, so a run
differs from the runner by one offset, and

    arrival = offset + t_us + delay,  delay >= 0.

The least `arrival - t_us` of a run is the offset plus the least delay: the estimate. No record is
placed later than it was read, and the order and distances within a run are the peer's own.

The other bound comes from cause and effect. A clock does not start before its process was asked
for, and an answer is printed after its command was sent: neither `asked_us` of the start nor any
`sent - t_us(answer)` is more than the offset, and the greatest of them is a lower bound. The truth
lies between the two: a record happened where it is placed, or at most `error_us` before.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.timeline.entries import RunKey, child, integer, run_of, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lanspread_harness.timeline.entries import Line


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the zero of a run's clock lies on the runner's.

    `error_us` is how much earlier it may lie; `None` where nothing bounds it, or where the two
    bounds contradict each other, as clocks of different speed would make them.
    """

    offset_us: int
    error_us: int | None


def clocks(lines: Iterable[Line]) -> dict[RunKey, Clock]:
    """The clock of each run that printed something."""
    latest: dict[RunKey, int] = {}
    earliest: dict[RunKey, int] = {}
    asked: dict[tuple[RunKey, str], deque[int]] = defaultdict(deque)
    for line in lines:
        key = run_of(line)
        logged_us = integer(line.data, "t_us")
        if key is None or logged_us is None:
            continue
        record = child(line.data, "record")
        printed_us = integer(record, "t_us")
        if printed_us is not None:
            offset_us = logged_us - printed_us
            latest[key] = min(offset_us, latest.get(key, offset_us))
            if text(record, "type") in {"result", "error"}:
                sent = asked.get((key, _id(record)))
                if sent:
                    bound_us = sent.popleft() - printed_us
                    earliest[key] = max(bound_us, earliest.get(key, bound_us))
        elif (asked_us := integer(line.data, "asked_us")) is not None:
            earliest[key] = max(asked_us, earliest.get(key, asked_us))
        elif "id" in (command := child(line.data, "command")):
            asked[key, _id(command)].append(logged_us)
    return {key: _clock(offset_us, earliest.get(key)) for key, offset_us in latest.items()}


def _clock(latest_us: int, earliest_us: int | None) -> Clock:
    if earliest_us is None or earliest_us > latest_us:
        return Clock(latest_us, None)
    return Clock(latest_us, latest_us - earliest_us)


def _id(data: object) -> str:
    """An id as a key: 1 and "1" are two ids."""
    return json.dumps(data["id"]) if isinstance(data, dict) and "id" in data else ""
