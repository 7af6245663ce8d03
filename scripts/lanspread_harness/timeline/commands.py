"""Commands with their answers."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.timeline.entries import Entry, Kind, RunKey

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Command:
    """A command from when it was sent to when the peer answered.

    `answer` is absent where the peer never did, or the line was none that has an answer by id.
    """

    sent: Entry
    answer: Entry | None

    @property
    def outcome(self) -> str:
        """`ok`, a code, or `unanswered`."""
        if self.answer is None:
            return "unanswered"
        return "ok" if self.answer.kind is Kind.RESULT else self.answer.name

    @property
    def duration_us(self) -> int | None:
        """From sending to the answer, on the runner's clock."""
        return None if self.answer is None else self.answer.at_us - self.sent.at_us


def commands(entries: Iterable[Entry]) -> list[Command]:
    """All commands in the order in which they were sent."""
    found: list[Command] = []
    waiting: dict[tuple[RunKey, str], deque[int]] = defaultdict(deque)
    for entry in sorted(entries, key=lambda entry: entry.line):
        if entry.peer is None or "id" not in entry.data:
            continue
        key = (entry.peer, entry.run), json.dumps(entry.data["id"])
        if entry.kind is Kind.COMMAND:
            waiting[key].append(len(found))
            found.append(Command(entry, None))
        elif entry.kind in {Kind.RESULT, Kind.ERROR} and waiting[key]:
            index = waiting[key].popleft()
            found[index] = Command(found[index].sent, entry)
    return found
