"""Everything the harness can raise, as one tree.

`HarnessError` is the root. Below it, `UsageError` and `EnvironmentLackingError` end the run before
any scenario starts; `ScenarioError` and its children end one scenario as failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


MAX_GOT_CHARS = 400
"""How much of what held instead stands in the text of an error; `evidence` has all of it."""


class HarnessError(Exception):
    """Root of all errors of the harness."""


class UsageError(HarnessError):
    """The caller asked for something that does not exist. Exit status 2."""


class EnvironmentLackingError(HarnessError):
    """The machine lacks something; the message names it. Exit status 3."""


class ScenarioError(HarnessError):
    """A scenario failed.

    `expectation` says what should have held. The first line of `evidence` says what held instead,
    the others show more. `records` are the last of the peer that it is about, for who has no
    history to look at. The text of the error has both: "bravo: expected a, got b" where `about`
    names what it is about and `expected` is a phrase, "expected: a; got: b" where `expected` is a
    sentence of its own.
    """

    def __init__(
        self,
        expected: str,
        evidence: Sequence[str] = (),
        records: Sequence[str] = (),
        *,
        about: str | None = None,
    ) -> None:
        self.expected = expected
        self.about = about
        self.evidence = tuple(evidence)
        self.records = tuple(records)
        super().__init__(self._text())

    @property
    def expectation(self) -> str:
        """What should have held, and of what."""
        return self.expected if self.about is None else f"{self.about}: {self.expected}"

    def _text(self) -> str:
        got = " ".join(self.evidence[0].split())[:MAX_GOT_CHARS] if self.evidence else ""
        if self.about is None:
            return f"expected: {self.expected}" + (f"; got: {got}" if got else "")
        return f"{self.about}: expected {self.expected}" + (f", got {got}" if got else "")


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
        super().__init__("success", [f"error {code}: {message}"], about=f"{peer}: {command}")
        self.peer = peer
        self.command = command
        self.code = code
        self.message = message
        self.retryable = retryable
        self.hint = hint


def error_text(error: BaseException) -> str:
    """An error on one line, with all of its evidence where it has any."""
    evidence = error.evidence[1:] if isinstance(error, ScenarioError) else ()
    return " ".join([str(error), *evidence]).replace("\n", " ")
