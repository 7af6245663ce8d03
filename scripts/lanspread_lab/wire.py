"""The conversation between a call and the core: one JSON line there, one JSON line back.

A request is `{"verb": …, "arguments": {…}, "timeout_s": …}`. An answer is `{"data": {…}}` or
`{"error": {"code": …, "message": …}}`. A call that is killed closes its socket, and the core stops
to wait for what that call waited for.
"""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

from lanspread_lab.errors import LabError

if TYPE_CHECKING:
    from lanspread_lab.places import Place

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Longest request and answer; what is longer goes into a file."""

GRACE_S = 15.0
"""How much longer than `--timeout` a call waits for the core to say that the time is over."""

DEFAULT_TIMEOUT_S = 45.0
"""What the clients of agents allow for a call is a minute, most of the time."""

CLOSING_TIMEOUT_S = 60.0
POLL_S = 0.02


def encode(message: dict[str, Any]) -> bytes:
    """As a line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line; raises `ValueError` for anything else."""
    message = json.loads(line.decode("utf-8", "surrogatepass"))
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - as for text that is no JSON
    return message


def is_open(place: Place) -> bool:
    """Whether somebody listens on the socket of a lab."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(place.socket))
        except OSError:
            return False
    return True


def call(
    place: Place,
    verb: str,
    arguments: dict[str, Any],
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> dict[str, Any]:
    """Ask the core of a lab; the data of its answer. Raises the `LabError` that it answers with."""
    request = encode({"verb": verb, "arguments": arguments, "timeout_s": timeout_s})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s + GRACE_S)
        try:
            connection.connect(str(place.socket))
        except OSError as error:
            raise not_open(place.name) from error
        try:
            connection.sendall(request)
            with connection.makefile("rb") as answers:
                return _data(answers.readline(MAX_LINE_BYTES))
        except (OSError, ValueError) as error:
            raise _gone(place) from error


async def call_async(
    place: Place, verb: str, arguments: dict[str, Any], timeout_s: float = DEFAULT_TIMEOUT_S
) -> dict[str, Any]:
    """`call` for who does other things meanwhile. Cancelled, it is as if its caller were gone."""
    import asyncio

    try:
        reader, writer = await asyncio.open_unix_connection(place.socket, limit=MAX_LINE_BYTES)
    except OSError as error:
        raise not_open(place.name) from error
    try:
        writer.write(encode({"verb": verb, "arguments": arguments, "timeout_s": timeout_s}))
        async with asyncio.timeout(timeout_s + GRACE_S):
            return _data(await reader.readline())
    except (OSError, ValueError) as error:
        raise _gone(place) from error
    finally:
        writer.close()


def wait_until_gone(place: Place) -> None:
    """Wait until a lab that was told to close is gone: its guardian removes `lab.json` last."""
    until_s = time.monotonic() + CLOSING_TIMEOUT_S
    while place.info.exists():
        if time.monotonic() > until_s:
            raise LabError(
                "lab-environment", f"the lab {place.name} does not end", f"see {place.log}"
            )
        time.sleep(POLL_S)


def _data(line: bytes) -> dict[str, Any]:
    answer = decode(line)
    if "error" in answer:
        raise LabError.from_json(answer["error"])
    data: dict[str, Any] = answer["data"]
    return data


def _gone(place: Place) -> LabError:
    return LabError(
        "lab-gone", f"the lab {place.name} ended before it answered", f"{place.log} says why"
    )


def not_open(name: str) -> LabError:
    """The error for a lab that is not there."""
    return LabError(
        "lab-not-open", f"no lab {name} is open", f"`lanspread-lab open {name}` opens one"
    )
