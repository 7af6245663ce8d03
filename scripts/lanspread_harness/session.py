"""One run of a peer: its output read, checked, kept and waited for.

A `Session` lasts from the start of the process to the end of its output. It keeps the rules that
hold for every peer: each line fits the schema, `seq` counts from 1 without a gap, time does not run
backwards, and a command has exactly one terminal record. Breaking one raises `ProtocolError` from
`read`, which fails the scenario at once. So does the end of a peer that nobody asked to end, from
`watch`.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from lanspread_harness.backends import MAX_LINE_BYTES
from lanspread_harness.errors import (
    CommandError,
    PeerDiedError,
    PeerExitedError,
    ProtocolError,
    RecordTimeoutError,
)
from lanspread_harness.records import (
    CommandId,
    Event,
    Failure,
    Ready,
    Record,
    Result,
    describe,
    parse_object,
    record_from,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lanspread_harness.backends import ExitStatus, PeerProcess
    from lanspread_harness.fields import JsonObject
    from lanspread_harness.history import History
    from lanspread_harness.schema import Schema

Terminal: TypeAlias = Result | Failure
T = TypeVar("T")
Offer: TypeAlias = "Callable[[Record], bool]"

EVIDENCE_RECORDS = 8
"""How many of a peer's last records stand in a failure."""

EVIDENCE_LINE_CHARS = 400
"""How much of one record stands there; the whole is in the history."""


LAST_WORDS = 5
"""How many of the last lines of a peer's standard error stand in a failure about its end."""

LAST_WORDS_BYTES = 8192

REAP_TIMEOUT_S = 2.0
"""From the end of a peer's output to that of its process, where a failure shows both."""

SHUTDOWN = "shutdown"
"""The command that asks a peer to end."""


class Session:
    """One process of a peer, from start to exit."""

    def __init__(
        self,
        peer: str,
        run: int,
        process: PeerProcess,
        schema: Schema,
        history: History,
        stderr: Path,
    ) -> None:
        self.peer = peer
        self.run = run
        self.process = process
        self.status: ExitStatus | None = None
        self.gone = asyncio.Event()
        """Set when the process is, and `status` known."""
        self.killed = False
        self.seen = False
        """Whether the scenario waits for the end, and looks at it itself."""
        self._asked = False
        self._is_read = False
        self._stderr = stderr
        self.records: list[Record] = []
        self.ended = asyncio.Event()
        self._schema = schema
        self._history = history
        self._waiters: dict[asyncio.Future[Any], Offer] = {}
        self._pending: dict[CommandId, asyncio.Future[Terminal]] = {}
        self._answered: set[CommandId] = set()
        self._next_id = 1
        self._sent_raw = False

    async def read(self) -> None:
        """Take in all output; returns at its end. Runs as a task beside the scenario."""
        try:
            while line := await self._read_line():
                self._take(line)
            self._is_read = True
        finally:
            self.ended.set()
            self._release()

    async def watch(self) -> None:
        """Wait for the end of the process, and hold it to having been asked for.

        Runs as a task beside the scenario. Before `ready` a peer may refuse to start; what that
        says is for the scenario to see, at the latest by its own end.
        """
        await self.ended.wait()
        self._settle_end(await self.process.wait())
        if self._is_ready and not self._asked and not self.seen:
            raise self._death()

    async def note_end(self) -> None:
        """Write the end into the history, where there was one that nobody was left to see."""
        if self._is_read and self.status is None:
            try:
                async with asyncio.timeout(REAP_TIMEOUT_S):
                    self._settle_end(await self.process.wait())
            except TimeoutError:
                return

    def ask_to_end(self, *, kill: bool = False) -> None:
        """The scenario does what ends a peer. One that has ended already did so by itself."""
        if not self.ended.is_set():
            self._asked = True
            self.killed = self.killed or kill

    def judge(self) -> None:
        """Hold an end that the scenario did not look at to how it was asked for."""
        if self.status is None or self.seen:
            return
        if not self._asked:
            raise self._death()
        as_asked = self.status.is_kill if self.killed else self.status.is_success
        if not as_asked:
            asked = "SIGKILL" if self.killed else "status 0"
            expected = f"exit with {asked}, as it was asked to"
            raise PeerExitedError(expected, self._last_words(), about=self.peer)

    async def command(self, cmd: str, params: JsonObject, timeout_s: float) -> Result:
        """Send a command and wait for its terminal record; an `error` raises `CommandError`."""
        record = await self.terminal(cmd, params, timeout_s)
        if isinstance(record, Result):
            return record
        raise CommandError(
            self.peer,
            cmd,
            code=record.code,
            message=record.message,
            retryable=record.retryable,
            hint=record.hint,
        )

    async def terminal(
        self,
        cmd: str,
        params: JsonObject,
        timeout_s: float,
        command_id: CommandId | None = None,
        *,
        checked: bool = True,
    ) -> Terminal:
        """Send a command and wait for its terminal record, whichever it is.

        Unless `checked` is false, a command that does not fit the schema is not even sent.
        """
        if command_id is None:
            command_id = self._next_id
            self._next_id += 1
        command: JsonObject = {"id": command_id, "cmd": cmd, **params}
        if checked:
            self._schema.check_command(command)
        if cmd == SHUTDOWN:
            self.ask_to_end()
        answer: asyncio.Future[Terminal] = asyncio.get_running_loop().create_future()
        self._pending[command_id] = answer
        self._history.command(self.peer, self.run, command)
        await self._write(json.dumps(command).encode() + b"\n")
        return await self._await(answer, f"an answer to {cmd}", timeout_s)

    async def send_line(self, line: bytes) -> None:
        """Send bytes as they are, with a line end. Nothing is expected in return."""
        self._sent_raw = True
        if SHUTDOWN.encode() in line:
            self.ask_to_end()
        self._history.text(self.peer, self.run, line)
        await self._write(line + b"\n")

    async def wait(
        self, what: str, select: Callable[[Record], T | None], *, since: int, timeout_s: float
    ) -> T:
        """What `select` makes of the first record after `seq` `since` that it takes.

        Looks at what was printed already before it waits. Raises `RecordTimeoutError` after
        `timeout_s`, and `PeerExitedError` when the output ends without such a record.
        """
        for record in self.records[since:]:
            selected = select(record)
            if selected is not None:
                return selected
        found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def offer(record: Record) -> bool:
            selected = select(record)
            if selected is None or found.done():
                return False
            found.set_result(selected)
            return True

        self._waiters[found] = offer
        try:
            return await self._await(found, what, timeout_s)
        finally:
            self._waiters.pop(found, None)

    def unanswered(self) -> list[CommandId]:
        """Commands without a terminal record."""
        return list(self._pending)

    def evidence(self) -> list[str]:
        """The last records of this run, shortened, for a failure."""
        shown = [r for r in self.records if not _is_progress(r)]
        return [
            f"{self.peer} +{record.t_us / 1e6:.3f}s {record.line[:EVIDENCE_LINE_CHARS]}"
            for record in shown[-EVIDENCE_RECORDS:]
        ]

    def describe_last_record(self) -> str:
        """Its last record in a few words."""
        return describe(self.records[-1]) if self.records else "none"

    async def _read_line(self) -> bytes:
        try:
            return await self.process.stdout.readline()
        except ValueError as error:
            raise ProtocolError(
                f"lines of at most {MAX_LINE_BYTES} bytes",
                ["a longer one"],
                self.evidence(),
                about=self.peer,
            ) from error

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip("\n")
        value = parse_object(text)
        self._history.record(self.peer, self.run, text)
        try:
            self._schema.check_record(value, text)
            record = record_from(value, text)
            self._check_order(record)
        except ProtocolError as error:
            if error.about is None:
                about, expected = None, f"{self.peer}: {error.expected}"
            else:
                about, expected = f"{self.peer}: {error.about}", error.expected
            raise ProtocolError(expected, error.evidence, self.evidence(), about=about) from error
        self.records.append(record)
        if isinstance(record, Result | Failure):
            self._settle(record)
        self._wake(record)

    def _check_order(self, record: Record) -> None:
        expected = len(self.records) + 1
        line = record.line[:EVIDENCE_LINE_CHARS]
        if record.seq != expected:
            raise ProtocolError(f"{expected}", [f"{record.seq}", line], about="the next seq")
        earliest_us = self.records[-1].t_us if self.records else 0
        if record.t_us < earliest_us:
            raise ProtocolError(f"at least {earliest_us}", [f"{record.t_us}", line], about="t_us")

    def _settle(self, record: Terminal) -> None:
        if record.id is None:
            return
        if record.id in self._answered:
            raise ProtocolError(
                f"one terminal record of command {record.id!r}",
                ["a second one", record.line],
                about=self.peer,
            )
        answer = self._pending.pop(record.id, None)
        if answer is None and not self._sent_raw:
            raise ProtocolError(
                "answers to commands that were sent",
                [f"one to id {record.id!r}, which was not", record.line],
                about=self.peer,
            )
        self._answered.add(record.id)
        if answer is not None and not answer.done():
            answer.set_result(record)

    def _wake(self, record: Record) -> None:
        for found, offer in list(self._waiters.items()):
            if offer(record):
                del self._waiters[found]

    def _release(self) -> None:
        """Cancel everything that still waits: no record will come any more."""
        for future in (*self._pending.values(), *self._waiters):
            if not future.done():
                future.cancel()

    async def _await(self, future: asyncio.Future[T], what: str, timeout_s: float) -> T:
        if self.ended.is_set() and not future.done():
            future.cancel()
        done, _ = await asyncio.wait([future], timeout=timeout_s)
        if not done:
            expected = f"{what} within {timeout_s:g} s"
            got = f"none; its last record is {self.describe_last_record()}"
            raise RecordTimeoutError(expected, [got], self.evidence(), about=self.peer)
        if future.cancelled():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), REAP_TIMEOUT_S)
            expected = f"{what} before the peer ends"
            raise PeerExitedError(expected, self._last_words(), self.evidence(), about=self.peer)
        return future.result()

    @property
    def _is_ready(self) -> bool:
        return bool(self.records) and isinstance(self.records[0], Ready)

    def _settle_end(self, status: ExitStatus) -> None:
        self.status = status
        self._history.exit(self.peer, self.run, str(status))
        self.gone.set()

    def _death(self) -> PeerDiedError:
        waiting = [f"command {name!r} is unanswered" for name in self._pending]
        return PeerDiedError(
            "to run until it is asked to end",
            [*self._last_words(), *waiting],
            self.evidence(),
            about=self.peer,
        )

    def _last_words(self) -> list[str]:
        """How it ended, and the last lines of its standard error."""
        ended = "the end of its output" if self.status is None else f"exit with {self.status}"
        try:
            with self._stderr.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_WORDS_BYTES))
                lines = file.read().decode("utf-8", "backslashreplace").splitlines()
        except OSError:
            lines = []
        said = [line[:EVIDENCE_LINE_CHARS] for line in lines[-LAST_WORDS:]]
        return [ended, *(f"{self.peer} stderr: {line}" for line in said)]

    async def _write(self, line: bytes) -> None:
        try:
            self.process.stdin.write(line)
            await self.process.stdin.drain()
        except ConnectionError:
            # The process is gone; whoever waits for an answer learns it from the end of output.
            return


def _is_progress(record: Record) -> bool:
    return isinstance(record, Event) and record.event.endswith("-progress")
