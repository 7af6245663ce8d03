"""curl from nginx over TLS: what a web server does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lanspread_bench.arena import Prepared
from lanspread_bench.commands import run
from lanspread_bench.contents import files_of
from lanspread_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_bench.arena import Arena
    from lanspread_bench.processes import Process, Processes
    from lanspread_bench.tools import BinaryUnderTest

PORT = 7400
UP_POLL_S = 0.02
UP_ATTEMPTS = 250

CONFIGURATION = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {directory}/certificate.pem; ssl_certificate_key {directory}/key.pem;
    ssl_protocols TLSv1.3;
    root {root};
  }}
}}
"""


class Curl:
    """nginx and curl, file after file."""

    name = "curl"
    notes = "TLS 1.3; verifies no content, syncs nothing"

    def __init__(self, nginx: BinaryUnderTest) -> None:
        self._nginx = nginx

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """Start the web server."""
        (source,), (receiver,) = arena.sources, arena.receivers
        directory = arena.directory
        run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=bench"),
                *("-addext", f"subjectAltName=IP:{source.address}"),
                *(
                    "-keyout",
                    str(directory / "key.pem"),
                    "-out",
                    str(directory / "certificate.pem"),
                ),
            ]
        )
        configuration = directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                directory=directory, address=source.address, port=PORT, root=arena.root
            ),
            encoding="utf-8",
        )
        server = await processes.start(
            "nginx",
            source.command(
                *(str(self._nginx.path), "-p", str(directory), "-c", str(configuration)),
                *("-e", str(directory / "nginx-start.log")),
            ),
            self._nginx.environment,
        )
        url = f"https://{source.address}:{PORT}"
        base = (
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--cacert",
            f"{directory}/certificate.pem",
        )
        for _ in range(UP_ATTEMPTS):
            probe = await processes.start(
                "curl-probe", receiver.command(*base, "--head", f"{url}/version.ini")
            )
            try:
                await probe.succeeded()
                break
            except BenchError:
                await asyncio.sleep(UP_POLL_S)
        else:
            raise BenchError("nginx does not answer")
        copy = arena.destination(receiver)

        async def go() -> Sequence[Process]:
            wanted = [
                part
                for path in files_of(arena.root)
                for part in ("--output", str(copy / path), f"{url}/{path}")
            ]
            process = await processes.start(
                "curl", receiver.command(*base, "--create-dirs", *wanted)
            )
            await process.succeeded()
            return [process]

        return Prepared(sources=[server], go=go, copies=[copy])
