"""Deprecated name of `answers`, kept for one release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanspread_harness.deprecation import forward

if TYPE_CHECKING:
    from lanspread_harness.answers import ListedGame as GameView
    from lanspread_harness.answers import RemotePeer, Status

    __all__ = ["GameView", "RemotePeer", "Status"]
else:
    __getattr__ = forward(
        __name__,
        {
            "Status": "lanspread_harness.answers.Status",
            "RemotePeer": "lanspread_harness.answers.RemotePeer",
            "GameView": "lanspread_harness.answers.ListedGame",
        },
    )
