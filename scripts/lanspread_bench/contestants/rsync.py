"""rsync: a daemon at the source, without encryption."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared
from lanspread_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_bench.arena import Arena
    from lanspread_bench.processes import Process, Processes
    from lanspread_bench.tools import BinaryUnderTest

PORT = 7300
UP_POLL_S = 0.02
UP_ATTEMPTS = 250


class Rsync:
    """The daemon and its client."""

    name = "rsync"
    notes = "not encrypted; a checksum of each file; syncs nothing"

    def __init__(self, program: BinaryUnderTest) -> None:
        self._binary = program

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Start the daemon."""
        (source,), (receiver,) = arena.sources, arena.receivers
        configuration = arena.directory / "rsyncd.conf"
        configuration.write_text(
            f"use chroot = no\nuid = 0\ngid = 0\n[content]\npath = {arena.root}\nread only = yes\n",
            encoding="utf-8",
        )
        program, environment = self._binary.path, self._binary.environment
        daemon = await processes.start(
            "rsync-source",
            source.command(
                *(str(program), "--daemon", "--no-detach", f"--config={configuration}"),
                *(f"--address={source.address}", f"--port={PORT}"),
            ),
            environment,
        )
        url = f"rsync://{source.address}:{PORT}/content/"
        # The daemon does not tell when it listens.
        for _ in range(UP_ATTEMPTS):
            probe = await processes.start(
                "rsync-probe", receiver.command(str(program), url), environment
            )
            try:
                await probe.succeeded()
                break
            except BenchError:
                await asyncio.sleep(UP_POLL_S)
        else:
            raise BenchError("the rsync daemon does not answer")
        copy = arena.destination(receiver)

        async def go() -> Sequence[Process]:
            command = (str(program), "--recursive", "--whole-file", url, f"{copy}/")
            process = await processes.start(
                "rsync-receiver", receiver.command(*command), environment
            )
            await process.succeeded()
            return [process]

        return Prepared(sources=[daemon], go=go, copies=[copy])
