"""The program `lanspread-hostile` as a scenario sees it: what it has done so far, awaited.

A `Hostile` lasts as long as its attack. The program tells its counts four times a second; a
scenario waits for them, so that it knows when an attack is under way.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from lanspread_harness.errors import RecordTimeoutError, ScenarioError
from lanspread_harness.fields import Fields
from lanspread_harness.records import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lanspread_harness.backends import PeerProcess
    from lanspread_harness.fields import JsonObject

READY_TIMEOUT_S = 20.0
"""Until it has learned what a game is, from a peer that may be under attack already."""

UNDER_WAY_TIMEOUT_S = 20.0

END_TIMEOUT_S = 5.0
"""A program that has not ended by then is killed."""

LAST_WORDS = 5
"""How many of the last lines of its standard error stand in a failure about its end."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What an attack has done since it began."""

    t_ms: int
    cpu_ms: int
    opened: int
    """Connections that were begun."""
    accepted: int
    """Connections whose TLS handshake has ended."""
    joined: int
    """Hellos that were answered with a hello."""
    refused: int
    closed: int
    """Connections that ended after their handshake."""
    asked: int
    """Requests that were sent."""
    ended: int
    """Requests that were refused, reset or answered."""
    requests: int
    """Requests of others that came in."""
    chunks: int
    """Chunks that were given."""
    bytes_sent: int
    bytes_received: int
    records: int
    """mDNS records that were sent: peers, not packets."""

    @classmethod
    def read(cls, data: Fields) -> Tally:
        """From a line of the program."""
        return cls(**{field.name: data.integer(field.name) for field in fields(cls)})

    @property
    def live(self) -> int:
        """Connections that are open."""
        return self.accepted - self.closed


class Hostile:
    """One attack under way."""

    def __init__(
        self,
        name: str,
        process: PeerProcess,
        stderr: Path,
        told: Path,
        reachable: Callable[[str], str],
    ) -> None:
        self.name = name
        self._reachable = reachable
        self._process = process
        self._stderr = stderr
        self._told = told
        self._addr: str | None = None
        self._tally: Tally | None = None
        self._is_ready = False
        self._asked_to_end = False
        self._news = asyncio.Condition()

    @property
    def addr(self) -> str:
        """Where a sink listens."""
        if self._addr is None:
            raise ScenarioError("an address", ["none: it listens nowhere"], about=self.name)
        return self._addr

    @property
    def tally(self) -> Tally:
        """What it has done, as it told last."""
        if self._tally is None:
            raise ScenarioError("a tally", ["none so far"], about=self.name)
        return self._tally

    async def read(self) -> None:
        """Take in all that it tells; returns at its end, which must have been asked for."""
        with self._told.open("wb") as told:
            while line := await self._process.stdout.readline():
                told.write(line)
                await self._take(Fields(parse_object(line.decode()), self.name))
        status = await self._process.wait()
        if not self._asked_to_end:
            words = self._stderr.read_text("utf-8", "replace").splitlines()[-LAST_WORDS:]
            got = f"exit with {status}"
            raise ScenarioError("to attack until it is stopped", [got, *words], about=self.name)

    async def ready(self) -> None:
        """Wait until the attack can begin."""
        await self._wait("to be ready", lambda: self._is_ready, READY_TIMEOUT_S)

    def begin(self) -> None:
        """Let the attack begin."""
        self._process.stdin.write(b"begin\n")

    async def until(
        self,
        what: str,
        holds: Callable[[Tally], bool],
        *,
        timeout_s: float = UNDER_WAY_TIMEOUT_S,
    ) -> Tally:
        """Wait until its counts satisfy `holds`; what they are then."""
        found: list[Tally] = []

        def looks() -> bool:
            if self._tally is None or not holds(self._tally):
                return False
            found.append(self._tally)
            return True

        await self._wait(what, looks, timeout_s)
        return found[0]

    async def goes_on(self, lasts_ms: int) -> None:
        """Wait until it has gone on for so long since it became ready."""
        begun_ms = 0 if self._tally is None else self._tally.t_ms
        timeout_s = UNDER_WAY_TIMEOUT_S + lasts_ms / 1000
        await self.until(
            "to go on", lambda tally: tally.t_ms >= begun_ms + lasts_ms, timeout_s=timeout_s
        )

    async def stop(self) -> JsonObject:
        """End it; what it has done, for the history."""
        self._asked_to_end = True
        self._process.stdin.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            await self._process.signal(signal.SIGKILL)
            await self._process.wait()
        tally = self._tally
        return {} if tally is None else {f.name: getattr(tally, f.name) for f in fields(tally)}

    async def _take(self, data: Fields) -> None:
        async with self._news:
            if data.text("type") == "ready":
                self._is_ready = True
                addr = data.optional_text("addr")
                self._addr = None if addr is None else self._reachable(addr)
            else:
                self._tally = Tally.read(data)
            self._news.notify_all()

    async def _wait(self, what: str, holds: Callable[[], bool], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(holds)
        except TimeoutError as error:
            expected = f"{what} within {timeout_s:g} s"
            raise RecordTimeoutError(expected, [f"{self._tally}"], about=self.name) from error
