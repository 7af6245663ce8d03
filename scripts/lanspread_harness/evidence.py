"""What is kept of a scenario: when and why it failed, what was on the disks, how to run it again.

All of it is taken after the lab is closed, so that the history is whole, and before the peers'
disks are deleted.
"""

from __future__ import annotations

import asyncio
import errno
import shlex
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lanspread_harness.errors import PeerDiedError, ProtocolError, ScenarioError
from lanspread_harness.report.packing import pack
from lanspread_harness.run_directory import PEERS
from lanspread_harness.timeline import read_timeline
from lanspread_harness.timeline.excerpt import format_entry, involved_peers, select_entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lanspread_harness.history import History
    from lanspread_harness.report.packing import Packed
    from lanspread_harness.timeline import Timeline

MAX_LISTED_FILES = 2000
"""How much of the peers' disks `disk.txt` shows; a failed scenario of many files stays readable."""

MAX_EVIDENCE_LINES = 40
"""How much of what a scenario itself shows stands on the terminal: a traceback fits, a dump does
not. `failure.txt` has all of it."""

EXPLAINS_OTHERS = (ProtocolError, PeerDiedError)
"""Failures that explain others, the one that explains most first."""

HISTORY = "history.jsonl"
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a scenario failed, and where to look further.

    `message` says what was expected and what held instead, on one line. The first line of
    `evidence` is what held instead; `records` are the lines of the history that matter most.
    """

    message: str
    expectation: str
    evidence: tuple[str, ...]
    records: tuple[str, ...]
    artefacts: Path
    report: str
    command: str

    @property
    def lines(self) -> list[str]:
        """Evidence and records, as many as a reader wants to see at once."""
        return [*self.evidence_shown, *self.records]

    @property
    def labelled(self) -> list[str]:
        """What was expected, what held instead, and what else shows it, each line with a label."""
        got, more = self.evidence_shown[:1], self.evidence_shown[1:]
        return [
            f"expected   {self.expectation}",
            *(f"got        {line}" for line in got),
            *(f"evidence   {line}" for line in [*more, *self.records]),
        ]

    @property
    def evidence_shown(self) -> list[str]:
        """The first lines of the evidence."""
        left_out = len(self.evidence) - MAX_EVIDENCE_LINES
        more = [f"… {left_out} more lines in failure.txt"] if left_out > 0 else []
        return [*self.evidence[:MAX_EVIDENCE_LINES], *more]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a scenario leaves: its failure, if it failed, and its timeline for the report."""

    failure: Failure | None
    timeline: Packed | None
    files: dict[str, str] = field(default_factory=dict)
    """What belongs into its directory, by name."""


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of the machine's disk, of which a scenario knows nothing."""


@contextmanager
def mark_failure(history: History) -> Iterator[None]:
    """Write into the history the moment at which something failed inside."""
    try:
        yield
    except asyncio.CancelledError:
        history.failure("the scenario comes to its end before it is stopped")
        raise
    except (Exception, BaseExceptionGroup) as error:
        # In a group may also be what pytest skips a test with, which is no `Exception`.
        if any(isinstance(leaf, Exception) for leaf in _leaves(error)):
            history.failure(scenario_error(error).expectation)
        raise


def scenario_error(error: BaseException) -> ScenarioError:
    """What a scenario failed with, in the words of the harness."""
    cause = root_cause(error)
    if isinstance(cause, ScenarioError):
        return cause
    trace = "".join(traceback.format_exception(cause)).splitlines()
    if isinstance(cause, OSError) and cause.errno in NO_ROOM:
        return ScenarioError("the disk of this machine can be written", [f"{cause}", *trace])
    what = f"{type(cause).__name__}: {cause}"
    return ScenarioError("the scenario runs without an error of its own", [what, *trace])


def root_cause(error: BaseException) -> BaseException:
    """When one failure made others, the one that made them.

    A broken rule of the protocol explains what was waited for in vain, so it goes first; then the
    end of a peer.
    """
    leaves = list(_leaves(error))
    explains = (leaf for kind in EXPLAINS_OTHERS for leaf in leaves if isinstance(leaf, kind))
    return next(explains, leaves[0])


def take_evidence(directory: Path, error: ScenarioError | None, command: str) -> Evidence:
    """Read the history, and of a failure write `failure.txt` and `disk.txt`.

    Blocks: a long history takes seconds.
    """
    return write_evidence(directory, gather_evidence(directory, error, command))


def gather_evidence(directory: Path, error: ScenarioError | None, command: str) -> Evidence:
    """Read the history, and of a failure all that is to be kept; writes nothing.

    Blocks: a long history takes seconds. A lab that could not be opened has none.
    """
    history = directory / HISTORY
    try:
        timeline = read_timeline(history) if history.exists() else None
    except OSError as trouble:
        timeline = None
        error = error or ScenarioError("the history can be read", [f"{trouble}"])
    packed = None if timeline is None else pack(timeline, failed=error is not None)
    if error is None:
        return Evidence(None, packed)
    records = error.records if timeline is None else _records(timeline, error)
    failure = failure_of(directory, error, records, command)
    text = "\n".join([failure.expectation, *failure.evidence, *failure.records, ""])
    return Evidence(failure, packed, {"failure.txt": text, "disk.txt": _disk_listing(directory)})


def write_evidence(directory: Path, evidence: Evidence) -> Evidence:
    """Write the files of a failure; what cannot be written is told in the failure itself."""
    if evidence.failure is None:
        return evidence
    unwritten: list[str] = []
    for name, text in evidence.files.items():
        try:
            (directory / name).write_text(text, encoding="utf-8")
        except OSError as error:
            unwritten.append(f"{name} cannot be written: {error.strerror}")
    failure = replace(evidence.failure, evidence=(*evidence.failure.evidence, *unwritten))
    return replace(evidence, failure=failure)


def failure_of(
    directory: Path, error: ScenarioError, records: Sequence[str], command: str
) -> Failure:
    """The failure with this error and these lines of the history."""
    return Failure(
        message=printable(str(error)),
        expectation=printable(error.expectation),
        evidence=tuple(map(printable, error.evidence)),
        records=tuple(map(printable, records)),
        artefacts=directory,
        report=f"{directory.parent / REPORT}#{directory.name}",
        command=command,
    )


def printable(text: str) -> str:
    """Text that a terminal shows as it is, and that can be written: all else is escaped."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def write_repro(directory: Path, repository: Path, command: str) -> None:
    """Write `repro.sh`, which runs `command` in the repository."""
    script = directory / "repro.sh"
    quoted = shlex.quote(str(repository))
    script.write_text(f"#!/bin/sh\ncd {quoted} && exec {command}\n", encoding="utf-8")
    script.chmod(0o755)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for child in error.exceptions:
            yield from _leaves(child)
    else:
        yield error


def _records(timeline: Timeline, error: ScenarioError) -> tuple[str, ...]:
    peers = involved_peers(timeline.peers, error.expectation, error.evidence)
    names = timeline.names
    return tuple(format_entry(entry, names) for entry in select_entries(timeline, peers))


def _disk_listing(directory: Path) -> str:
    lines: list[str] = []
    for path in sorted((directory / PEERS).rglob("*")):
        name = printable(str(path.relative_to(directory)))
        try:
            lines.append(f"{name}/" if path.is_dir() else f"{name} {path.lstat().st_size}")
        except OSError as error:
            lines.append(f"{name}: {error.strerror}")
    if len(lines) > MAX_LISTED_FILES:
        lines = [*lines[:MAX_LISTED_FILES], f"… and {len(lines) - MAX_LISTED_FILES} more"]
    return "\n".join([*lines, ""])
