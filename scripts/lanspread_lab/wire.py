"""The conversation between a call and the core: one JSON line there, one JSON line back.

A request is `{"verb": …, "arguments": {…}, "timeout_s": …}`. An answer is `{"data": {…}}` or
`{"error": {"code": …, "message": …}}`. A call that is killed closes its socket, and the core stops
to wait for what that call waited for.
"""

from __future__ import annotations

import json
import socket
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


def encode(message: dict[str, Any]) -> bytes:
    """As a line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line; raises `ValueError` for anything else."""
    message = json.loads(line.decode("utf-8", "surrogatepass"))
    if not isinstance(message, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - as for text that is no JSON
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
    request = {"verb": verb, "arguments": arguments, "timeout_s": timeout_s}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s + GRACE_S)
        try:
            connection.connect(str(place.socket))
        except OSError as error:
            raise not_open(place.name) from error
        try:
            connection.sendall(encode(request))
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_LINE_BYTES)
            answer = decode(line)
        except (OSError, ValueError) as error:
            raise LabError(
                "lab-gone",
                f"the lab {place.name} ended before it answered",
                f"{place.log} says why",
            ) from error
    if "error" in answer:
        raise LabError.from_json(answer["error"])
    data: dict[str, Any] = answer["data"]
    return data


def not_open(name: str) -> LabError:
    """The error for a lab that is not there."""
    return LabError(
        "lab-not-open", f"no lab {name} is open", f"`lanspread-lab open {name}` opens one"
    )
