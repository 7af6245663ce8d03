"""sendme: iroh blobs over QUIC, with BLAKE3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_bench.arena import Arena
    from lanspread_bench.processes import Process, Processes

PORT = 7500
TICKET = re.compile(r"sendme receive (\S+)")
DIRECT = ("--relay", "disabled", "--no-progress")
"""No relay and no lookups: the ticket has the address."""


class Sendme:
    """Sender and receiver of one binary."""

    name = "sendme"
    notes = "BLAKE3 while it arrives; syncs nothing"

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Let the sender import the content, and take its ticket."""
        (source,), (receiver,) = arena.sources, arena.receivers
        home = arena.directory / "sender"
        home.mkdir()
        binary = str(self._binary)
        listen = f"{source.address}:{PORT}"
        sender = await processes.start(
            "sendme-source",
            source.command(
                *("env", "--chdir", str(home), binary, "send", *DIRECT),
                *("--magic-ipv4-addr", listen, "--ticket-type", "addresses", str(arena.root)),
            ),
        )
        ticket = None
        while ticket is None:
            ticket = TICKET.search(await sender.line())
        target = arena.destination(receiver)
        target.mkdir()

        async def go() -> Sequence[Process]:
            process = await processes.start(
                "sendme-receiver",
                receiver.command(
                    *("env", "--chdir", str(target), binary, "receive", *DIRECT, ticket[1])
                ),
            )
            await process.succeeded()
            return [process]

        return Prepared(sources=[sender], go=go, copies=[target / arena.root.name])
