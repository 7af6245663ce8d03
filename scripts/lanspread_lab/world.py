"""The lab of a core: the peers, games and faults of `lanspread_harness`, kept open between calls.

A scenario fails when one of its peers breaks a rule or dies. A lab that somebody explores must not
end by that: what went wrong is kept as a trouble, is shown by `look`, and the lab goes on.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lanspread_harness.client import EXIT_TIMEOUT_S
from lanspread_harness.errors import HarnessError, error_text
from lanspread_harness.history import History
from lanspread_harness.lab import Lab, LabSettings
from lanspread_harness.run_directory import PEERS
from lanspread_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from pathlib import Path

    from lanspread_harness.backends import Backend
    from lanspread_harness.client import Peer
    from lanspread_harness.fixtures import Game
    from lanspread_harness.schema import Schema

TROUBLES_MAX = 100
"""How many troubles are kept; the history has all of them."""


class Watchers:
    """The tasks that read what peers print. One that fails is a trouble, and ends no other."""

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        self._on_trouble = on_trouble
        self._tasks: set[asyncio.Task[None]] = set()

    def create_task(
        self, coroutine: Coroutine[Any, Any, None], *, name: str | None = None
    ) -> asyncio.Task[None]:
        """Run it beside the others."""
        task = asyncio.create_task(self._watch(coroutine), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        """Wait for all of them."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except HarnessError as error:
            self._on_trouble(error_text(error))


@dataclass(slots=True)
class ActiveFault:
    """A fault that is in effect, and how it is taken back."""

    id: str
    kind: str
    peers: list[str]
    detail: dict[str, Any]
    heal: Callable[[], Awaitable[None]]

    def as_json(self) -> dict[str, Any]:
        """As it is shown."""
        return {"id": self.id, "fault": self.kind, "peers": self.peers, **self.detail}


@dataclass(slots=True)
class World:
    """What verbs work on."""

    lab: Lab
    backend: Backend
    settings: LabSettings
    schema: Schema
    history: History
    troubles: list[str]
    games: dict[str, Game] = field(default_factory=dict)
    faults: dict[str, ActiveFault] = field(default_factory=dict)
    faults_begun: int = 0

    def peer(self, name: str) -> Peer:
        """The peer with this name."""
        for peer in self.lab.peers:
            if peer.name == name:
                return peer
        known = ", ".join(peer.name for peer in self.lab.peers) or "none"
        raise LabError("lab-no-peer", f"there is no peer {name}", f"peers are: {known}")

    def running(self, name: str) -> Peer:
        """The peer with this name, which runs."""
        peer = self.peer(name)
        if not peer.running:
            raise LabError(
                "lab-peer-down", f"{name} does not run", f"`fault LAB restart {name}` starts it"
            )
        return peer

    def game(self, game_id: str) -> Game:
        """The game with this id."""
        if game_id not in self.games:
            known = ", ".join(self.games) or "none"
            raise LabError("lab-no-game", f"there is no game {game_id}", f"games are: {known}")
        return self.games[game_id]

    def file_of(self, peer: Peer, path: str) -> Path:
        """A file below the games directory of a peer."""
        found = (peer.games_dir / path).resolve()
        if not found.is_relative_to(peer.games_dir.resolve()) or not found.is_file():
            raise LabError(
                "lab-usage",
                f"{peer.name} has no file {path}",
                "name it below the games directory, such as quake/quake.eti",
            )
        return found


@asynccontextmanager
async def open_world(
    settings: LabSettings, backend: Backend, schema: Schema
) -> AsyncIterator[World]:
    """A lab on a backend. At its end all of it is gone, whatever state its peers are in."""
    peers_dir = settings.directory / PEERS
    peers_dir.mkdir(parents=True)
    troubles: list[str] = []
    with History(settings.directory / "history.jsonl") as history:

        def on_trouble(text: str) -> None:
            history.failure(text)
            troubles.append(text)
            del troubles[:-TROUBLES_MAX]

        watchers = Watchers(on_trouble)
        # Disks are taken away last, when nobody uses them any more.
        async with AsyncExitStack() as mounts, backend.open(settings.lab_id, peers_dir) as host:
            lab = Lab(settings, host, schema, history, watchers, mounts)
            try:
                yield World(lab, backend, settings, schema, history, troubles)
            finally:
                try:
                    await lab.mend_all()
                finally:
                    await _end_peers(lab)
        await watchers.end()


async def _end_peers(lab: Lab) -> None:
    """End all peers, cleanly where they do so in time. What is left the host kills."""
    ending = [_end(peer) for peer in lab.peers if peer.running]
    await asyncio.gather(*ending, return_exceptions=True)


async def _end(peer: Peer) -> None:
    if peer.frozen:
        await peer.thaw()
    peer.close_stdin()
    await peer.exited(EXIT_TIMEOUT_S)
