"""A peer as a scenario sees it: typed commands, awaited events, and what can be done to it.

Every command waits for its terminal record and raises `CommandError` where that is an `error`.
`event` and `failure` look at what the peer printed already before they wait, so there is no race
between asking and happening; `since` leaves out what lies before a mark.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lanspread_harness.answers import ListedGame, RemotePeer, Status
from lanspread_harness.errors import PeerExitedError, RecordTimeoutError
from lanspread_harness.history import FaultPhase
from lanspread_harness.records import Event, Failure, Ready, Record, describe
from lanspread_harness.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from lanspread_harness.backends import ExitStatus, LabHost
    from lanspread_harness.faults.links import LinkControl
    from lanspread_harness.fields import Fields, JsonObject, JsonValue
    from lanspread_harness.fixtures import Game
    from lanspread_harness.history import History
    from lanspread_harness.schema import Schema

READY_TIMEOUT_S = 20.0
"""A peer is ready in 0.3 s; ten containers that start at once on two cores are not."""

EVENT_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 20.0
"""Far above what anything takes: a wait that ends here is a failure, never a slow machine."""

OPERATION_TIMEOUT_S = 60.0
"""For commands that wait for a whole download or installation."""

EXIT_TIMEOUT_S = 15.0
"""A clean shutdown says goodbye to every peer, and may wait for one that does not listen."""


HARMLESS = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGURG,
        signal.SIGWINCH,
    }
)
"""Signals that end no process that does not ask for them."""


class TaskStarter(Protocol):
    """Runs tasks beside a scenario, such as an `asyncio.TaskGroup`."""

    def create_task(
        self, coroutine: Coroutine[Any, Any, None], /, *, name: str | None = None
    ) -> asyncio.Task[None]:
        """Run a task."""
        ...


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """With what a peer is started."""

    games_dir: Path
    state_dir: Path
    catalog: Path
    network: str
    network_key: Path | None = None
    mdns: bool = False
    auto_install: bool = False
    ping_after_s: int = 10
    peer_timeout_s: int = 30
    upload_limit: str | None = None
    max_dictionary: str | None = None


class Peer:
    """One peer of a lab, over all its restarts."""

    def __init__(
        self,
        name: str,
        options: PeerOptions,
        host: LabHost,
        schema: Schema,
        history: History,
        stderr: Path,
        tasks: TaskStarter,
        links: LinkControl,
    ) -> None:
        self.name = name
        self.options = options
        self.stderr = stderr
        self._host = host
        self._schema = schema
        self._history = history
        self._tasks = tasks
        self._links = links
        self._stop_fault: int | None = None
        self.sessions: list[Session] = []
        self._ready: Ready | None = None
        self._runs = 0

    # What is known of it

    @property
    def session(self) -> Session:
        """The current run, or the last one when the peer is down."""
        if not self.sessions:
            raise PeerExitedError("a process", ["none: it was never started"], about=self.name)
        return self.sessions[-1]

    @property
    def started(self) -> bool:
        """Whether it ever had a process."""
        return bool(self.sessions)

    @property
    def was_ready(self) -> bool:
        """Whether it ever printed `ready`, so that its id is known."""
        return self._ready is not None

    @property
    def running(self) -> bool:
        """Whether its output is still open."""
        return self.started and not self.session.ended.is_set()

    @property
    def ready(self) -> Fields:
        """The data of its `ready` record."""
        if self._ready is None:
            raise PeerExitedError("a ready record", ["none: it was not ready"], about=self.name)
        return self._ready.data

    @property
    def peer_id(self) -> str:
        """Its id, the same over restarts."""
        return self.ready.text("peer_id")

    @property
    def addr(self) -> str:
        """Where the other peers of the lab reach it."""
        return self._host.reachable(self.name, self.ready.text("listen_addr"))

    @property
    def games_dir(self) -> Path:
        """Where its game roots lie."""
        return self.options.games_dir

    def root(self, game: Game | str) -> Path:
        """The root of a game on its disk."""
        return self.games_dir / _id(game)

    @property
    def frozen(self) -> bool:
        """Whether it was stopped and not let run on since."""
        return self._stop_fault is not None

    # Its life

    async def launch(self) -> None:
        """Start its process without waiting for `ready`."""
        self._runs += 1
        arguments = self._arguments()
        asked_us = self._history.now_us()
        process = await self._host.start(self.name, self._runs, arguments, self.stderr)
        self._history.start(self.name, self._runs, list(process.command_line), asked_us)
        session = Session(self.name, self._runs, process, self._schema, self._history, self.stderr)
        self.sessions.append(session)
        self._tasks.create_task(session.read(), name=f"output of {self.name}")
        self._tasks.create_task(session.watch(), name=f"end of {self.name}")

    async def start(self) -> Ready:
        """Start its process and wait for `ready`, which must be the first record."""
        await self.launch()
        first = await self.session.wait(
            "a first record", lambda record: record, since=0, timeout_s=READY_TIMEOUT_S
        )
        if not isinstance(first, Ready):
            raise PeerExitedError(
                "ready as its first record",
                [describe(self.session.records[0])],
                self.session.evidence(),
                about=self.name,
            )
        self._ready = first
        await self._links.started(self.name)
        return first

    async def exited(self, timeout_s: float = EXIT_TIMEOUT_S) -> ExitStatus:
        """Wait until its process has ended and all its output is read.

        Who waits for an end judges it: whatever its status is, it fails nothing by itself.
        """
        session = self.session
        session.seen = True
        status = await self._gone(session, timeout_s)
        self._end_stop()
        return status

    def close_stdin(self) -> None:
        """End its input, which asks for a clean shutdown."""
        self._fault("close-stdin")
        self.session.ask_to_end()
        self.session.process.stdin.close()

    async def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Any that is not among `HARMLESS` asks it to end."""
        self._fault("signal", {"signal": number.name})
        if number not in HARMLESS:
            self.session.ask_to_end(kill=number == signal.SIGKILL)
        await self.session.process.signal(number)

    async def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        session = self.session
        self._fault("kill")
        session.ask_to_end(kill=True)
        await session.process.signal(signal.SIGKILL)
        await self._gone(session, EXIT_TIMEOUT_S)
        self._end_stop()

    async def freeze(self) -> None:
        """Stop it with SIGSTOP until `thaw`."""
        if self._stop_fault is None:
            self._stop_fault = self._fault("stop", phase=FaultPhase.BEGIN)
        await self.session.process.signal(signal.SIGSTOP)

    async def thaw(self) -> None:
        """Let it run on."""
        await self.session.process.signal(signal.SIGCONT)
        self._end_stop()

    async def restart(self) -> Ready:
        """Start it again on the same directories; one that still runs is killed first."""
        self._fault("restart")
        if self.running:
            await self.kill()
        return await self.start()

    async def settle(self) -> None:
        """Wait for the processes of all its runs, and hold to the rules those that nobody saw."""
        for session in self.sessions:
            await self._gone(session, EXIT_TIMEOUT_S)
            session.judge()

    # Commands

    async def command(
        self, cmd: str, *, timeout_s: float = COMMAND_TIMEOUT_S, **params: JsonValue
    ) -> Fields:
        """Any command by name; the data of its result."""
        return (await self.session.command(cmd, params, timeout_s)).data

    async def status(self) -> Status:
        """How it is."""
        return Status.read(await self.command("status"))

    async def list_peers(self) -> list[RemotePeer]:
        """Whom it knows, in peer id order."""
        return [RemotePeer.read(p) for p in (await self.command("list-peers")).children("peers")]

    async def list_games(self, scope: str = "all") -> dict[str, ListedGame]:
        """The games it knows, by id; `scope` is all, local or remote."""
        listed = (await self.command("list-games", scope=scope)).children("games")
        return {game.id: game for game in map(ListedGame.read, listed)}

    async def connect(self, other: Peer | str) -> str:
        """Dial another peer; its id, once both know each other's library."""
        addr = other if isinstance(other, str) else other.addr
        return (await self.command("connect", addr=addr)).text("peer_id")

    async def wait_peers(self, count: int, timeout_s: float = EVENT_TIMEOUT_S) -> None:
        """Wait until it knows `count` peers."""
        await self.command(
            "wait-peers",
            count=count,
            timeout_ms=round(timeout_s * 1000),
            timeout_s=timeout_s + COMMAND_TIMEOUT_S,
        )

    async def download(
        self,
        game: Game | str,
        *,
        wait: bool = False,
        install: bool | None = None,
        content_root: str | None = None,
        timeout_s: float = OPERATION_TIMEOUT_S,
    ) -> Fields:
        """Download a game; with `wait` until it is there (and installed, where asked for).

        `content_root` chooses between sources that disagree.
        """
        options = {"install": install, "content_root": content_root}
        return await self._fetch("download", game, options, wait=wait, timeout_s=timeout_s)

    async def update(
        self,
        game: Game | str,
        *,
        wait: bool = False,
        install: bool | None = None,
        content_root: str | None = None,
        timeout_s: float = OPERATION_TIMEOUT_S,
    ) -> Fields:
        """Update a game; parameters as for `download`."""
        options = {"install": install, "content_root": content_root}
        return await self._fetch("update", game, options, wait=wait, timeout_s=timeout_s)

    async def cancel_download(self, game: Game | str) -> None:
        """Cancel a download, update, install or verification; returns at its end."""
        await self.command("cancel-download", game_id=_id(game))

    async def verify(
        self,
        game: Game | str,
        *,
        repair: bool = False,
        wait: bool = False,
        timeout_s: float = OPERATION_TIMEOUT_S,
    ) -> Fields:
        """Verify a downloaded game; with `wait` until the end, of the repair if there is one."""
        return await self.command(
            "verify", game_id=_id(game), repair=repair, wait=wait, timeout_s=timeout_s
        )

    async def install(self, game: Game | str) -> None:
        """Install a downloaded game and wait for the end."""
        await self.command("install", game_id=_id(game), wait=True, timeout_s=OPERATION_TIMEOUT_S)

    async def stream_install(
        self,
        game: Game | str,
        *,
        wait: bool = False,
        timeout_s: float = OPERATION_TIMEOUT_S,
    ) -> Fields:
        """Install a game from what a source unpacks; with `wait` until it is there."""
        return await self.command(
            "stream-install", game_id=_id(game), wait=wait, timeout_s=timeout_s
        )

    async def uninstall(self, game: Game | str) -> None:
        """Uninstall a game and wait for the end."""
        await self.command("uninstall", game_id=_id(game), wait=True, timeout_s=OPERATION_TIMEOUT_S)

    async def run_setup(self, game: Game | str) -> Fields:
        """Start the setup script of an installed game; returns when it runs."""
        return await self.command("run-setup", game_id=_id(game))

    async def remove_download(self, game: Game | str) -> None:
        """Delete a downloaded game and wait for the end."""
        await self.command(
            "remove-download", game_id=_id(game), wait=True, timeout_s=OPERATION_TIMEOUT_S
        )

    async def shutdown(self) -> None:
        """Ask it to end; returns with the answer, not with the end."""
        await self.command("shutdown")

    async def send_line(self, line: bytes) -> None:
        """Send bytes that need not be a command."""
        await self.session.send_line(line)

    # Records

    def mark(self) -> int:
        """The `seq` of its last record so far; as `since`, only later ones count."""
        return len(self.session.records)

    def events(self, name: str, *, since: int = 0, **fields: JsonValue) -> list[Event]:
        """All events of a name so far whose data have these fields."""
        select = _event_selector(name, fields, None)
        selected = (select(record) for record in self.session.records[since:])
        return [event for event in selected if event is not None]

    async def event(
        self,
        name: str,
        *,
        where: Callable[[Fields], bool] | None = None,
        since: int = 0,
        timeout_s: float = EVENT_TIMEOUT_S,
        **fields: JsonValue,
    ) -> Event:
        """The first event of a name whose data have these fields and satisfy `where`."""
        wanted = "".join(f" {field}={value!r}" for field, value in fields.items())
        return await self.session.wait(
            f"event {name}{wanted}",
            _event_selector(name, fields, where),
            since=since,
            timeout_s=timeout_s,
        )

    async def downloaded(self, game: Game | str, share: float, *, since: int = 0) -> Event:
        """The first progress of a download that has at least this share (0 to 1) of its bytes."""

        def reached(data: Fields) -> bool:
            return data.integer("bytes_done") >= share * data.integer("bytes_total")

        return await self.event(
            "download-progress",
            where=reached,
            since=since,
            timeout_s=OPERATION_TIMEOUT_S,
            game_id=_id(game),
        )

    async def hashed(self, game: Game | str) -> str:
        """Wait until it has hashed its copy of a game; the content root that it then tells."""
        while True:
            before = self.mark()
            manifest = (await self.command("get-game", game_id=_id(game))).child("manifest")
            root = manifest.optional_text("content_root")
            if root is not None:
                return root
            await self.event("local-games-updated", since=before)

    async def failure(
        self, code: str, *, since: int = 0, timeout_s: float = EVENT_TIMEOUT_S
    ) -> Failure:
        """The first `error` record with this code."""

        def select(record: Record) -> Failure | None:
            return record if isinstance(record, Failure) and record.code == code else None

        return await self.session.wait(f"error {code}", select, since=since, timeout_s=timeout_s)

    async def _fetch(
        self,
        cmd: str,
        game: Game | str,
        options: Mapping[str, bool | str | None],
        *,
        wait: bool,
        timeout_s: float,
    ) -> Fields:
        params: JsonObject = {"game_id": _id(game), "wait": wait}
        params.update({name: value for name, value in options.items() if value is not None})
        return await self.command(cmd, timeout_s=timeout_s, **params)

    def _arguments(self) -> list[str]:
        options = self.options
        key = options.network_key
        return [
            *("run", "--name", self.name),
            *("--games-dir", str(options.games_dir), "--state-dir", str(options.state_dir)),
            *("--catalog", str(options.catalog), "--network", options.network),
            *("--listen", self._host.listen_address(self.name)),
            *("--mdns-interface", self._host.mdns_interface() if options.mdns else "off"),
            *("--auto-install", str(options.auto_install).lower()),
            *("--ping-after", f"{options.ping_after_s}s"),
            *("--peer-timeout", f"{options.peer_timeout_s}s"),
            *(("--max-dictionary", options.max_dictionary) if options.max_dictionary else ()),
            *(("--upload-limit", options.upload_limit) if options.upload_limit else ()),
            *(() if key is None else ("--network-key-file", str(key))),
            # What a failure needs to be understood, and nobody reads otherwise.
            *("--log", "info,lanspread=debug"),
        ]

    async def _gone(self, session: Session, timeout_s: float) -> ExitStatus:
        try:
            async with asyncio.timeout(timeout_s):
                await session.gone.wait()
        except TimeoutError as error:
            raise RecordTimeoutError(
                f"its end within {timeout_s:g} s",
                ["a process that still runs"],
                session.evidence(),
                about=self.name,
            ) from error
        if session.status is None:
            raise PeerExitedError("an exit status", ["none"], about=self.name)
        return session.status

    def _end_stop(self) -> None:
        fault_id, self._stop_fault = self._stop_fault, None
        if fault_id is not None:
            self._fault("stop", phase=FaultPhase.END, fault_id=fault_id)

    def _fault(
        self,
        fault: str,
        detail: JsonObject | None = None,
        *,
        phase: FaultPhase = FaultPhase.INSTANT,
        fault_id: int | None = None,
    ) -> int:
        run = self.session.run
        return self._history.fault(
            fault, phase, [self.name], run=run, fault_id=fault_id, detail=detail
        )


def _id(game: Game | str) -> str:
    return game if isinstance(game, str) else game.id


def _event_selector(
    name: str, fields: JsonObject, where: Callable[[Fields], bool] | None
) -> Callable[[Record], Event | None]:
    def select(record: Record) -> Event | None:
        if not isinstance(record, Event) or record.event != name or not record.matches(fields):
            return None
        return record if where is None or where(record.data) else None

    return select
