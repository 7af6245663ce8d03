"""Everything the harness can raise, as one tree.

`HarnessError` is the root. Below it, `UsageError` and `EnvironmentLackingError` end the run before
any scenario starts; `ScenarioError` and its children end one scenario as failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class HarnessError(Exception):
    """Root of all errors of the harness."""


class UsageError(HarnessError):
    """The caller asked for something that does not exist. Exit status 2."""


class EnvironmentLackingError(HarnessError):
    """The machine lacks something; the message names it. Exit status 3."""


class ScenarioError(HarnessError):
    """A scenario failed.

    `expectation` says what should have held; `evidence` are the lines that show what held instead.
    `records` are the last of the peer that it is about, for who has no history to look at.
    """

    def __init__(
        self, expectation: str, evidence: Sequence[str] = (), records: Sequence[str] = ()
    ) -> None:
        super().__init__(expectation)
        self.expectation = expectation
        self.evidence = tuple(evidence)
        self.records = tuple(records)


class ExpectationError(ScenarioError):
    """An assertion of a scenario does not hold."""


class RecordTimeoutError(ScenarioError):
    """A peer did not print an awaited record in time."""


class PeerExitedError(ScenarioError):
    """A peer ended while something was still expected of it, or ended in the wrong way."""


class PeerDiedError(PeerExitedError):
    """A peer ended that nobody had asked to."""


class ProtocolError(ScenarioError):
    """A peer printed something that breaks the JSONL protocol or its own schema."""


class BackendError(ScenarioError):
    """The backend could not do what the lab asked of it."""


class CommandError(ScenarioError):
    """A command was answered with an `error` record."""

    def __init__(
        self,
        peer: str,
        command: str,
        *,
        code: str,
        message: str,
        retryable: bool,
        hint: str | None,
    ) -> None:
        super().__init__(f"{peer}: {command} succeeds", [f"{peer}: {code}: {message}"])
        self.peer = peer
        self.command = command
        self.code = code
        self.message = message
        self.retryable = retryable
        self.hint = hint


def error_text(error: BaseException) -> str:
    """An error on one line, with its evidence where it has any."""
    evidence = error.evidence if isinstance(error, ScenarioError) else ()
    return " ".join([str(error), *evidence]).replace("\n", " ")
