"""What was done in a lab, step by step, so that it can be done again as a test.

Reading (`look`, `history`, commands that change nothing) is left out of what `export` writes, but
for a command that was refused: that it is refused is what somebody saw.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_harness.fields import JsonObject
    from lanspread_harness.fixtures import Game
    from lanspread_lab.values import Condition

STEPS_MAX = 1000
"""How many steps are kept; a session of more is no test that anybody reads."""


@dataclass(slots=True)
class Step:
    """One step; `outcome` is `held`, `missed`, `refused` or, while it goes on, `open`."""

    kind: str
    detail: dict[str, Any] = field(default_factory=dict)
    outcome: str = "open"

    def held(self, fault: str | None = None) -> None:
        """It did what it was asked to."""
        self.outcome = "held"
        if fault is not None:
            self.detail["fault"] = fault

    def missed(self) -> None:
        """What was waited for did not come."""
        self.outcome = "missed"

    def refused(self, code: str) -> None:
        """The peer refused with a code."""
        self.outcome = "refused"
        self.detail["code"] = code


class Steps:
    """The steps of one lab."""

    def __init__(self, lab: str, backend: str, seed: int) -> None:
        self.lab = lab
        self.backend = backend
        self.seed = seed
        self._steps: list[Step] = []

    def game(self, game: Game, wanted: dict[str, Any]) -> None:
        """A game was planned."""
        files = {path: _content(content) for path, content in game.files.items()}
        detail = {"id": game.id, "version": game.version, "files": files}
        kept = {name: wanted[name] for name in ("rar", "from", "at") if wanted.get(name)}
        self._add("game", {**detail, **kept}).held()

    def peer(self, name: str, options: dict[str, Any], connected: Sequence[str]) -> None:
        """A peer was started."""
        games = [game.id for game in options.get("games", ())]
        others = {key: value for key, value in options.items() if key != "games"}
        detail = {"name": name, "games": games, "options": others, "connect": list(connected)}
        self._add("peer", detail).held()

    def command(self, peer: str, cmd: str, fields: JsonObject) -> Step:
        """A command goes to a peer."""
        return self._add("command", {"peer": peer, "cmd": cmd, "fields": dict(fields)})

    def wait(
        self, peer: str, event: str, conditions: Sequence[Condition], timeout_s: float
    ) -> Step:
        """An event is waited for."""
        told = [[c.name, c.sign, c.value] for c in conditions]
        detail = {"peer": peer, "event": event, "where": told, "timeout_s": timeout_s}
        return self._add("wait", detail)

    def fault(self, kind: str, peers: Sequence[str], options: dict[str, Any]) -> Step:
        """Something is broken."""
        return self._add("fault", {"kind": kind, "peers": list(peers), "options": options})

    def heal(self, fault: str) -> None:
        """A fault was healed."""
        self._add("heal", {"fault": fault}).held()

    def as_json(self) -> list[dict[str, Any]]:
        """All of them, the first one first."""
        return [asdict(step) for step in self._steps]

    def _add(self, kind: str, detail: dict[str, Any]) -> Step:
        step = Step(kind, detail)
        self._steps.append(step)
        del self._steps[:-STEPS_MAX]
        return step


INCIDENT_EVENT = re.compile(r'"event":\s*"(?P<name>[a-z-]+)"')
INCIDENT_MESSAGE = re.compile(r"(?:WARN|ERROR)\s+(?:[\w:]+:\s+)?(?P<text>.+?)(?:\s+\w+=|$)")


def incident_parts(incidents: Sequence[str]) -> list[str]:
    """What a test has to expect, so that the same incidents do not fail it."""
    parts: set[str] = set()
    for incident in incidents:
        found = INCIDENT_EVENT.search(incident)
        message = INCIDENT_MESSAGE.search(incident)
        if found is not None:
            parts.add(found["name"])
        elif message is not None:
            parts.add(message["text"])
    return sorted(parts)


def _content(content: object) -> dict[str, Any]:
    return {"kind": type(content).__name__, "size": getattr(content, "size", 0)}
