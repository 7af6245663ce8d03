"""Deprecated name of `arp_limits`, kept for one release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanspread_harness.deprecation import forward

if TYPE_CHECKING:
    pass
else:
    __getattr__ = forward(
        __name__,
        {
            "room_for_neighbours": "lanspread_harness.arp_limits.raise_arp_limits",
        },
    )
