"""Lanspread itself: peers with an index of their content, connected, told to download."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared
from lanspread_bench.errors import BenchError
from lanspread_bench.figures import sampled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from lanspread_bench.arena import Arena
    from lanspread_bench.figures import JsonObject
    from lanspread_bench.network import Host
    from lanspread_bench.processes import Process, Processes

NETWORK = "lanspread-bench"
PORT = 7100

HASHED_POLL_S = 0.1
"""Between two looks whether a source has hashed its content, which happens before the start."""

HASHED_TIMEOUT_S = 120.0
"""For the hashes of the largest content, on a machine that does other things."""

LATE_COLUMNS = (sampled("late busy s", "late_busy_s"),)
"""What is measured where a source is found late."""


class Peer:
    """A peer that is spoken to one command at a time."""

    def __init__(self, host: Host, process: Process) -> None:
        self.host = host
        self.process = process
        self.watchers: list[Callable[[JsonObject], None]] = []
        """Are given every event that is read while a command waits for its answer."""
        self.peer_id = ""
        self._commands = 0

    @property
    def addr(self) -> str:
        """Where it listens."""
        return f"{self.host.address}:{PORT}"

    async def ready(self) -> None:
        """Wait for its first record."""
        record = await self._record()
        if record.get("type") != "ready":
            raise BenchError(f"the peer on {self.host.name} does not start: {record}")
        self.peer_id = str(data_of(record)["peer_id"])

    async def command(self, cmd: str, **params: object) -> JsonObject:
        """Send a command and return the data of its result, however long it takes."""
        self._commands += 1
        self.process.write(json.dumps({"id": self._commands, "cmd": cmd, **params}))
        while True:
            record = await self._record(None)
            if record.get("type") == "event":
                for watcher in self.watchers:
                    watcher(record)
            elif record.get("id") == self._commands:
                break
        if record.get("type") != "result":
            raise BenchError(f"{cmd} on {self.host.name}: {record.get('error')}")
        return data_of(record)

    async def download(self, game_id: str) -> JsonObject:
        """Download a game and wait for its end."""
        return await self.command("download", game_id=game_id, wait=True, install=False)

    async def _record(self, timeout_s: float | None = 20.0) -> JsonObject:
        record: JsonObject = json.loads(await self.process.line(timeout_s))
        return record


def data_of(record: JsonObject) -> JsonObject:
    """What a record is about."""
    data = record.get("data")
    return data if isinstance(data, dict) else {}


class Lanspread:
    """Peers of one binary."""

    notes = "BLAKE3 of every chunk before it is written; synced, journalled and committed"

    def __init__(
        self,
        binary: Path,
        build: str = "lanspread",
        *,
        name: str | None = None,
        source_options: Sequence[str] = (),
        receiver_options: Sequence[str] = (),
    ) -> None:
        self.name = name or build
        self._binary = binary
        self._build = build
        """Whose index the sources share, whatever else is different about them."""
        self._source_options = source_options
        self._receiver_options = receiver_options

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Bring all peers to where only the command to download is missing."""
        sources, receivers = await self.start(arena, processes)
        late = None
        if arena.late_s is not None:
            late = LateSource(receivers, sources[-1], arena.late_s)

        async def go() -> Sequence[Process]:
            async with asyncio.TaskGroup() as group:
                for receiver in receivers:
                    group.create_task(receiver.download(arena.content_id))
                if late is not None:
                    group.create_task(late.join())
            return [receiver.process for receiver in receivers]

        prepared = prepared_for(arena, sources, receivers, go)
        if late is not None:
            prepared.figures = lambda _: late.figures()
        return prepared

    async def start(
        self, arena: Arena, processes: Processes
    ) -> tuple[Sequence[Peer], Sequence[Peer]]:
        """Start all peers, let the sources hash, and connect everybody who is to be known."""
        sources = [
            await self._start(arena, processes, host, arena.root.parent, self._source_options)
            for host in arena.sources
        ]
        receivers = [
            await self._start(
                arena, processes, host, arena.destination(host), self._receiver_options
            )
            for host in arena.receivers
        ]
        for source in sources:
            await hashed(source, arena.content_id)
        early = sources[: len(arena.early_sources())]
        for number, receiver in enumerate(receivers):
            for other in [*early, *receivers[:number]]:
                await receiver.command("connect", addr=other.addr)
        return sources, receivers

    async def _start(
        self,
        arena: Arena,
        processes: Processes,
        host: Host,
        games_dir: Path,
        options: Sequence[str],
    ) -> Peer:
        state = arena.directory / f"state-{host.name}"
        # The index of a source outlives the round, so that it hashes once.
        if host in arena.sources:
            state = arena.kept / f"{self._build}-{host.name}"
        peer = (processes, self._build, host, self._binary)
        return await start_peer(*peer, games_dir, state, arena.catalog, options)


class LateSource:
    """A source that comes to know the receivers while they fetch, and when it is of use to each."""

    def __init__(self, receivers: Sequence[Peer], source: Peer, after_s: float) -> None:
        self._receivers = receivers
        self._source = source
        self._after_s = after_s
        self._joined_at: dict[str, float] = {}
        self._busy_at: dict[str, float] = {}
        for receiver in receivers:
            receiver.watchers.append(partial(self._note, receiver.host.name))

    async def join(self) -> None:
        """Connect, from the source's side: that of the receivers is busy."""
        await asyncio.sleep(self._after_s)
        for receiver in self._receivers:
            self._joined_at[receiver.host.name] = time.monotonic()
            await self._source.command("connect", addr=receiver.addr)

    def figures(self) -> Mapping[str, float]:
        """From the command to connect until the slowest receiver reports bytes of it.

        Handshake, one whole chunk and its check, and the wait for the next report are inside.
        """
        if idle := self._joined_at.keys() - self._busy_at.keys():
            raise BenchError(f"the late source gave nothing to {', '.join(sorted(idle))}")
        waits = [at - self._joined_at[name] for name, at in self._busy_at.items()]
        return {"late_busy_s": max(waits)}

    def _note(self, receiver: str, event: JsonObject) -> None:
        if event.get("event") == "download-progress" and receiver not in self._busy_at:
            given = bytes_given(event)
            if given.get(self._source.peer_id, 0) > 0:
                self._busy_at[receiver] = time.monotonic()


def bytes_given(event: JsonObject) -> dict[str, int]:
    """What each source gave, by its id, as an event of a download tells it."""
    sources = data_of(event).get("sources")
    found = sources if isinstance(sources, list) else []
    return {source["peer_id"]: source["bytes"] for source in found}


def prepared_for(
    arena: Arena,
    sources: Sequence[Peer],
    receivers: Sequence[Peer],
    go: Callable[[], Awaitable[Sequence[Process]]],
) -> Prepared:
    """What the arena has to know of peers that wait for the start."""
    return Prepared(
        sources=[source.process for source in sources],
        receivers=[receiver.process for receiver in receivers],
        go=go,
        copies=[arena.destination(host) / arena.content_id for host in arena.receivers],
    )


async def start_peer(
    processes: Processes,
    build: str,
    host: Host,
    binary: Path,
    games: Path,
    state: Path,
    catalog: Path,
    options: Sequence[str],
) -> Peer:
    """Start a peer on a host, of a build for its log's name, and wait until it is ready."""
    for directory in (games, state):
        directory.mkdir(parents=True, exist_ok=True)
    process = await processes.start(
        f"{build}-{host.name}",
        host.command(
            *(str(binary), "run", "--name", host.name, "--network", NETWORK),
            *("--games-dir", str(games), "--state-dir", str(state)),
            *("--catalog", str(catalog), "--listen", f"{host.address}:{PORT}"),
            *("--mdns-interface", "off", "--auto-install", "false", "--log", "warn"),
            *options,
        ),
    )
    peer = Peer(host, process)
    await peer.ready()
    return peer


async def hashed(source: Peer, game_id: str) -> None:
    """Wait until a source has the hashes of its content."""
    try:
        async with asyncio.timeout(HASHED_TIMEOUT_S):
            while True:
                game = await source.command("get-game", game_id=game_id)
                manifest = game.get("manifest")
                if isinstance(manifest, dict) and manifest.get("content_root"):
                    return
                await asyncio.sleep(HASHED_POLL_S)
    except TimeoutError as error:
        raise BenchError(f"{game_id} is not hashed after {HASHED_TIMEOUT_S:.0f} s") from error
