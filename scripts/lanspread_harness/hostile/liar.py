"""A peer that lies: speaks enough QUIC to say hello as somebody else, and to serve a library.

It has a key and a certificate like any peer, and says in `hello` whatever it is told to say. Needs
`aioquic`, which nothing else here does; it is imported only when it is used.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.deprecation import warn_deprecated
from lanspread_harness.records import parse_object

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from pathlib import Path

    from lanspread_harness.fields import JsonObject

PROTOCOL_VERSION = 4
"""`PROTOCOL_VERSION` of the wire protocol: another one is refused before anybody's id matters."""

ALPN = "lanspread/1"
LENGTH_BYTES = 4
ANSWER_TIMEOUT_S = 10.0
PAGE_MAX_BYTES = 256 * 1024
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Announced:
    """A game of a library, without a content root."""

    id: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Library:
    """What a peer tells of its games; `pages` is how they travel."""

    rev: int
    games: int
    pages: Sequence[bytes]


def library(rev: int, games: Iterable[Announced]) -> Library:
    """Encode a library as every peer does: pages that are as full as they can be."""
    pages: list[bytes] = []
    records: list[bytes] = []
    used, count, before = 0, 0, Announced("", "", 0)
    for game in sorted(games, key=lambda game: game.id.encode()):
        count += 1
        record = _record(game, before)
        if _varint_len(len(records) + 1) + used + len(record) > PAGE_MAX_BYTES:
            pages.append(_page(records))
            records, used = [], 0
            record = _record(game, Announced("", "", 0))
        records.append(record)
        used += len(record)
        before = game
    return Library(rev, count, (*pages, _page(records)))


def _page(records: list[bytes]) -> bytes:
    return _varint(len(records)) + b"".join(records)


def _record(game: Announced, before: Announced) -> bytes:
    shared = 0
    while game.id[: shared + 1] == before.id[: shared + 1] and shared < len(game.id):
        shared += 1
    suffix = game.id[shared:]
    version = b"\0" if game.version == before.version else b"\1" + _text(game.version)
    head = _varint(len(game.id[:shared].encode())) + _text(suffix) + version
    return head + _varint(game.size) + b"\x11" * HASH_BYTES + b"\0"


def _text(text: str) -> bytes:
    return _varint(len(text.encode())) + text.encode()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded) + bytes([number])


def _varint_len(number: int) -> int:
    return len(_varint(number))


async def say_hello(
    addr: str,
    *,
    sock: socket.socket,
    certificate: Path,
    key: Path,
    hello: JsonObject,
    served: Library | None = None,
    until: Callable[[], Coroutine[None, None, object]] | None = None,
    told: Library | None = None,
) -> JsonObject | None:
    """Dial a peer, show `certificate`, sign with `key`, say `hello`, and return the answer.

    `None` where there is none, since the connection was refused or closed. It stays until `until`
    is done, or the peer closes the connection; meanwhile the `served` library is sent to whoever
    asks. `sock` is what it speaks through, and is closed afterwards.
    `told` is the deprecated name of `served`.
    """
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    if told is not None:
        warn_deprecated("say_hello(told=…)", "say_hello(served=…)")
        served = told
    configuration = QuicConfiguration(alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE)
    configuration.load_cert_chain(str(certificate), str(key))
    host, _, port = addr.rpartition(":")
    server = LibraryServer(served)
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicConnectionProtocol(
            QuicConnection(configuration=configuration), stream_handler=server.accept_stream
        ),
        sock=sock,
    )
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            client.connect((host, int(port)))
            await client.wait_connected()
            reader, writer = await client.create_stream()
            writer.write(_header({"type": "hello", **hello}))
            writer.write_eof()
            answer = await reader.read()
        if until is not None:
            # Its own time limit is that of whoever waits.
            await _first(until(), client.wait_closed())
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            client.close()
            await client.wait_closed()
    except ConnectionError:
        return None
    finally:
        transport.close()
        await server.stop()
    return parse_object(answer[LENGTH_BYTES:].decode()) if answer else None


class LibraryServer:
    """Answers what a peer asks on streams of its own: pages of a library, and nothing else."""

    def __init__(self, served: Library | None) -> None:
        self._library = served
        self._tasks: set[asyncio.Task[None]] = set()

    def accept_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a stream that the peer has opened."""
        task = asyncio.get_running_loop().create_task(self._answer(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End what is being answered."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        request = parse_object((await reader.readexactly(length)).decode())
        if request.get("type") == "get_library" and self._library is not None:
            page = request.get("page")
            number = page if isinstance(page, int) else 0
            content = self._library.pages[number]
            head: JsonObject = {
                "type": "library_page",
                "rev": self._library.rev,
                "games": self._library.games,
                "pages": len(self._library.pages),
                "len": len(content),
            }
            writer.write(_header(head) + content)
        else:
            writer.write(_header({"type": "done"}))
        writer.write_eof()


async def _first(*ends: Coroutine[None, None, object]) -> None:
    tasks = [asyncio.get_running_loop().create_task(end) for end in ends]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _header(message: JsonObject) -> bytes:
    encoded = json.dumps(message).encode()
    return len(encoded).to_bytes(LENGTH_BYTES, "big") + encoded
