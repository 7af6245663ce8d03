"""What can go wrong in a call: one table of codes, each with its exit status and its meaning.

A peer that refuses a command keeps its own code; the table has the codes of the lab itself.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Exit statuses of `lanspread-lab`."""

    DONE = 0
    REFUSED = 1
    """A peer refused, or what was expected does not hold."""
    USAGE = 2
    ENVIRONMENT = 3
    """The machine lacks something, or the lab is gone."""
    TIMEOUT = 4
    """Not done, or not seen, within `--timeout`; a call that goes on has a handle for `wait`."""


CODES: dict[str, tuple[Status, str]] = {
    "lab-usage": (Status.USAGE, "the call is wrong"),
    "lab-exists": (Status.USAGE, "a lab with this name is open"),
    "lab-not-open": (Status.USAGE, "no lab with this name is open"),
    "lab-no-peer": (Status.USAGE, "the lab has no peer with this name"),
    "lab-peer-exists": (Status.USAGE, "the lab has a peer with this name"),
    "lab-no-game": (Status.USAGE, "the lab has no game with this id"),
    "lab-no-fault": (Status.USAGE, "no fault with this id is in effect"),
    "lab-no-call": (Status.USAGE, "no call with this handle is known"),
    "lab-no-run": (Status.USAGE, "no run with this name is known"),
    "lab-peer-down": (Status.REFUSED, "the peer does not run"),
    "lab-peer-ended": (Status.REFUSED, "the peer ended before it answered"),
    "lab-not-seen": (Status.TIMEOUT, "what was waited for did not come in time"),
    "lab-broken-rule": (Status.REFUSED, "the peer broke a rule of the protocol"),
    "lab-cancelled": (Status.REFUSED, "the call was cancelled"),
    "lab-fault-failed": (Status.REFUSED, "the fault could not be put into effect"),
    "lab-unsupported": (Status.ENVIRONMENT, "the backend of the lab cannot do this"),
    "lab-environment": (Status.ENVIRONMENT, "the machine lacks something"),
    "lab-gone": (Status.ENVIRONMENT, "the lab ended during the call"),
    "lab-disk": (Status.ENVIRONMENT, "the disk below the lab's directory is full or broken"),
    "lab-internal": (Status.ENVIRONMENT, "a fault of lanspread-lab itself"),
    "lab-timeout": (Status.TIMEOUT, "not done in time; it goes on"),
}


class LabError(Exception):
    """A call that did not do what it was asked to.

    `code` is one of `CODES`, or that of a peer's `error` record. `details` stand beside it in the
    answer.
    """

    def __init__(self, code: str, message: str, hint: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details

    @property
    def status(self) -> Status:
        """With which status the call ends. The codes that are not in the table are of peers."""
        return CODES[self.code][0] if self.code in CODES else Status.REFUSED

    def as_json(self) -> dict[str, Any]:
        """As it stands in an answer."""
        told: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint is not None:
            told["hint"] = self.hint
        return {**told, **self.details}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> LabError:
        """Read it from an answer."""
        details = {k: v for k, v in told.items() if k not in ("code", "message", "hint")}
        return cls(str(told["code"]), str(told["message"]), told.get("hint"), **details)
