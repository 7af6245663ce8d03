"""What the harness and its wires tell each other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypeAlias

from lanspread_harness.faults.impairment import Link

READY = "ready"
"""What a wire prints when it runs, and when it has taken new links."""

OUTBOUND, INBOUND = "outbound", "inbound"
"""From the peer, and to it."""


@dataclass(frozen=True, slots=True)
class Links:
    """How the link is in each direction."""

    outbound: Link
    inbound: Link

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Links:
        """From one line."""
        value = json.loads(line)
        return cls(Link(**value[OUTBOUND]), Link(**value[INBOUND]))


@dataclass(frozen=True, slots=True)
class Setup:
    """What a wire is put between. Interfaces are in the namespace that it is started in."""

    peer_namespace: str
    peer_interface: str
    port: str
    """The switch's end of the peer's cable, taken off the bridge."""
    near: str
    """The wire's end of the second cable."""
    far: str
    """The bridge's end of it."""
    seed: str


Counts: TypeAlias = dict[str, dict[str, int]]
