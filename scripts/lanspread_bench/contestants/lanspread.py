"""Lanspread itself: peers with an index of their content, connected, told to download."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared
from lanspread_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_bench.arena import Arena
    from lanspread_bench.network import Host
    from lanspread_bench.processes import Process, Processes

NETWORK = "lanspread-bench"
PORT = 7100

HASHED_POLL_S = 0.1
"""Between two looks whether a source has hashed its content, which happens before the start."""

HASHED_TIMEOUT_S = 120.0
"""For the hashes of the largest content, on a machine that does other things."""


class Peer:
    """A peer that is spoken to one command at a time."""

    def __init__(self, host: Host, process: Process) -> None:
        self.host = host
        self.process = process
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

    async def command(self, cmd: str, **params: object) -> dict[str, object]:
        """Send a command and return the data of its result, however long it takes."""
        self._commands += 1
        self.process.write(json.dumps({"id": self._commands, "cmd": cmd, **params}))
        while True:
            record = await self._record(None)
            if record.get("id") == self._commands:
                break
        if record.get("type") != "result":
            raise BenchError(f"{cmd} on {self.host.name}: {record.get('error')}")
        data = record["data"]
        return data if isinstance(data, dict) else {}

    async def _record(self, timeout_s: float | None = 20.0) -> dict[str, object]:
        record: dict[str, object] = json.loads(await self.process.line(timeout_s))
        return record


class Lanspread:
    """Peers of one binary."""

    notes = "BLAKE3 of every chunk before it is written; synced, journalled and committed"

    def __init__(self, binary: Path, name: str = "lanspread") -> None:
        self.name = name
        self._binary = binary

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Start all peers, let the sources hash, and connect everybody who is to be known."""
        sources = [
            await self._start(arena, processes, host, arena.root.parent) for host in arena.sources
        ]
        receivers = [
            await self._start(arena, processes, host, arena.destination(host))
            for host in arena.receivers
        ]
        for source in sources:
            await hashed(source, arena.content_id)
        early = sources[: len(arena.early_sources())]
        for number, receiver in enumerate(receivers):
            for other in [*early, *receivers[:number]]:
                await receiver.command("connect", addr=other.addr)

        async def go() -> Sequence[Process]:
            async with asyncio.TaskGroup() as group:
                for receiver in receivers:
                    download = {"game_id": arena.content_id, "wait": True, "install": False}
                    group.create_task(receiver.command("download", **download))
                if arena.late_s is not None:
                    group.create_task(_join(receivers, sources[-1], arena.late_s))
            return [receiver.process for receiver in receivers]

        return Prepared(
            sources=[source.process for source in sources],
            receivers=[receiver.process for receiver in receivers],
            go=go,
            copies=[arena.destination(host) / arena.content_id for host in arena.receivers],
        )

    async def _start(self, arena: Arena, processes: Processes, host: Host, games_dir: Path) -> Peer:
        games_dir.mkdir(exist_ok=True)
        state = arena.directory / f"state-{host.name}"
        # The index of a source outlives the round, so that it hashes once.
        if host in arena.sources:
            state = arena.kept / f"{self.name}-{host.name}"
        state.mkdir(parents=True, exist_ok=True)
        process = await processes.start(
            f"{self.name}-{host.name}",
            host.command(
                *(str(self._binary), "run", "--name", host.name, "--network", NETWORK),
                *("--games-dir", str(games_dir), "--state-dir", str(state)),
                *("--catalog", str(arena.catalog), "--listen", f"{host.address}:{PORT}"),
                *("--mdns-interface", "off", "--auto-install", "false", "--log", "warn"),
            ),
        )
        peer = Peer(host, process)
        await peer.ready()
        return peer


async def hashed(source: Peer, game_id: str) -> None:
    """Wait until a source has the hashes of its content."""
    async with asyncio.timeout(HASHED_TIMEOUT_S):
        while True:
            game = await source.command("get-game", game_id=game_id)
            manifest = game.get("manifest")
            if isinstance(manifest, dict) and manifest.get("content_root"):
                return
            await asyncio.sleep(HASHED_POLL_S)


async def _join(receivers: Sequence[Peer], source: Peer, after_s: float) -> None:
    """Let a source come to know the receivers, from its side: theirs are busy."""
    await asyncio.sleep(after_s)
    for receiver in receivers:
        await source.command("connect", addr=receiver.addr)
