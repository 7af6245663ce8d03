"""A peer that lies: speaks enough QUIC to say hello as somebody else.

It has a key and a certificate like any peer, and says in `hello` whatever it is told to say. Needs
`aioquic`, which nothing else here does; it is imported only when it is used.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING

from lanspread_harness.records import parse_object

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from lanspread_harness.fields import JsonObject

ALPN = "lanspread/1"
LENGTH_BYTES = 4
ANSWER_TIMEOUT_S = 10.0


async def say_hello(
    addr: str, *, sock: socket.socket, certificate: Path, key: Path, hello: JsonObject
) -> JsonObject | None:
    """Dial a peer, show `certificate`, sign with `key`, say `hello`, and return the answer.

    `None` where there is none, since the connection was refused or closed. `sock` is what it speaks
    through, and is closed afterwards.
    """
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    configuration = QuicConfiguration(alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE)
    configuration.load_cert_chain(str(certificate), str(key))
    host, _, port = addr.rpartition(":")
    message = json.dumps({"type": "hello", **hello}).encode()
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicConnectionProtocol(QuicConnection(configuration=configuration)), sock=sock
    )
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            client.connect((host, int(port)))
            await client.wait_connected()
            reader, writer = await client.create_stream()
            writer.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
            writer.write_eof()
            answer = await reader.read()
            client.close()
            await client.wait_closed()
    except ConnectionError:
        return None
    finally:
        transport.close()
    return parse_object(answer[LENGTH_BYTES:].decode()) if answer else None
