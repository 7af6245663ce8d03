"""The configuration of a link, as `links` sends it to a `link_shaper`, and the counts it returns.

Both ends import this module, so it names the fields once. It decides nothing: `Link` bounds the
values, and `Impairment` acts on them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypeAlias

from lanspread_harness.faults.impairment import Link

READY = "ready"
"""The line that a link shaper prints when it runs, and when it has taken a new configuration."""

OUTBOUND, INBOUND = "outbound", "inbound"
"""From the peer, and to it."""


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A peer's link in both directions."""

    outbound: Link
    inbound: Link

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> LinkConfig:
        """From one line."""
        value = json.loads(line)
        return cls(Link(**value[OUTBOUND]), Link(**value[INBOUND]))


@dataclass(frozen=True, slots=True)
class ShaperSetup:
    """The interfaces that a link shaper connects, in the namespace that it is started in."""

    peer_namespace: str
    peer_interface: str
    port: str
    """The switch's end of the peer's veth pair, taken off the bridge."""
    near: str
    """The shaper's end of the second veth pair."""
    far: str
    """The bridge's end of it."""
    seed: str


PacketCounts: TypeAlias = dict[str, dict[str, int]]
