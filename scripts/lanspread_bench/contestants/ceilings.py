"""What the machine can do: memory to memory by QUIC and TCP, and disk to disk by `cp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared
from lanspread_bench.contents import size_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_bench.arena import Arena
    from lanspread_bench.processes import Process, Processes

PORT = 7200


class Ceiling:
    """`lanspread-bench`: bytes out of memory into memory."""

    notes = "in memory: reads, writes and verifies nothing"

    def __init__(self, binary: Path, transport: str, name: str, *options: str) -> None:
        self.name = name
        self._binary = binary
        self._transport = transport
        self._options = options
        """What `fetch` is told beside address and size."""

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Start the sender."""
        (source,), (receiver,) = arena.sources, arena.receivers
        size = size_of(arena.root)
        trusted: tuple[str, ...] = ()
        if self._transport == "quic":
            trusted = ("--certificate", str(arena.directory / "certificate.pem"))
        listen = ("--listen", f"{source.address}:{PORT}")
        sender = await processes.start(
            f"{self.name}-source",
            source.command(str(self._binary), self._transport, "serve", *listen, *trusted),
        )
        await sender.line()

        async def go() -> Sequence[Process]:
            fetch = await processes.start(
                f"{self.name}-receiver",
                receiver.command(
                    *(str(self._binary), self._transport, "fetch"),
                    *("--addr", f"{source.address}:{PORT}", "--bytes", str(size)),
                    *trusted,
                    *self._options,
                ),
            )
            await fetch.succeeded()
            return [fetch]

        return Prepared(sources=[sender], go=go, copies=[])


class Copy:
    """`cp` on the same disk, without any network."""

    name = "cp"
    notes = "no network; verifies and syncs nothing"

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Nothing to prepare."""
        (receiver,) = arena.receivers
        copy = arena.destination(receiver)

        async def go() -> Sequence[Process]:
            # Reflinks would copy nothing.
            command = ("cp", "--recursive", "--reflink=never", str(arena.root), str(copy))
            process = await processes.start("cp", command)
            await process.succeeded()
            return [process]

        return Prepared(sources=[], go=go, copies=[copy])
