"""libtorrent over plain TCP: every end is `torrent_end.py` in an environment with libtorrent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared
from lanspread_bench.commands import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_bench.arena import Arena
    from lanspread_bench.network import Host
    from lanspread_bench.processes import Process, Processes

PORT = 7600
END = Path(__file__).with_name("torrent_end.py")


class Libtorrent:
    """Sessions that are told of each other by address: no tracker, no DHT, no uTP."""

    name = "libtorrent"
    notes = "TCP, not encrypted; a hash of each piece; syncs nothing"

    def __init__(self, python: Path) -> None:
        # Without `-P`, modules beside the script would hide those that it imports.
        self._end = (str(python), "-P", str(END))

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Make the torrent once, and start all ends."""
        torrent = arena.kept / f"{arena.content_id}.torrent"
        if not torrent.exists():
            torrent.parent.mkdir(parents=True, exist_ok=True)
            run([*self._end, "make", str(arena.root), str(torrent)])
        sources = [
            await self._start(processes, host, "seed", torrent, arena.root.parent)
            for host in arena.sources
        ]
        receivers = [
            await self._start(processes, host, "leech", torrent, arena.destination(host))
            for host in arena.receivers
        ]
        early = arena.early_sources()

        async def receive(number: int, process: Process) -> None:
            known = [*early, *arena.receivers[:number]]
            process.write(json.dumps([[host.address, PORT] for host in known]))
            if arena.late_s is not None:
                await asyncio.sleep(arena.late_s)
                process.write(json.dumps([[arena.sources[-1].address, PORT]]))
            while await process.line(None) != "done":
                pass

        async def go() -> Sequence[Process]:
            async with asyncio.TaskGroup() as group:
                for number, process in enumerate(receivers):
                    group.create_task(receive(number, process))
            return receivers

        return Prepared(
            sources=sources,
            receivers=receivers,
            go=go,
            copies=[arena.destination(host) / arena.content_id for host in arena.receivers],
        )

    async def _start(
        self, processes: Processes, host: Host, role: str, torrent: Path, save_path: Path
    ) -> Process:
        process = await processes.start(
            f"libtorrent-{host.name}",
            host.command(
                *(*self._end, role, str(torrent), str(save_path)),
                f"{host.address}:{PORT}",
            ),
        )
        while await process.line() != "ready":
            pass
        return process
