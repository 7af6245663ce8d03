"""Partitions: who no longer hears whom, and the rules that see to it.

Packets are dropped where they arrive, in the receiver's namespace and before anything there sees
them. So the sender is told nothing: no error, no refusal. ARP goes through; else cutting one
direction would sooner or later cut the other one too, which needs to find the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TABLE = "lanspread"


@dataclass(frozen=True, slots=True)
class Cut:
    """What one peer sends does not reach the other; `None` is every other peer of the lab."""

    sender: str | None
    receiver: str | None

    def covers(self, sender: str, receiver: str) -> bool:
        """Whether it lies between these two."""
        return self.sender in (None, sender) and self.receiver in (None, receiver)


def unheard(cuts: Iterable[Cut], receiver: str, addresses: Mapping[str, str]) -> list[str]:
    """The addresses from which a peer hears nothing, in order."""
    cuts = list(cuts)
    return sorted(
        address
        for sender, address in addresses.items()
        if sender != receiver and any(cut.covers(sender, receiver) for cut in cuts)
    )


def rules(addresses: Iterable[str]) -> str:
    """What `nft` is to do in the receiver's namespace; replaces all that was there before."""
    # Deleting what is not there is an error, so the table is made first.
    lines = [f"table ip {TABLE}", f"delete table ip {TABLE}"]
    dropped = ", ".join(addresses)
    if dropped:
        lines += [
            f"table ip {TABLE} {{",
            "  chain unheard {",
            "    type filter hook prerouting priority raw; policy accept;",
            f"    ip saddr {{ {dropped} }} drop",
            "  }",
            "}",
        ]
    return "\n".join(lines) + "\n"
