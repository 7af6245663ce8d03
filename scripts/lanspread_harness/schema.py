"""Checks what peers print, and what the harness sends, against the binary's own schema.

`lanspread-peer-cli schema` prints the schema once per run; every peer of every scenario is held to
it. A line that does not fit fails the scenario whatever it was about.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lanspread_harness.errors import EnvironmentLackingError, ProtocolError
from lanspread_harness.fields import Fields
from lanspread_harness.records import parse_object

if TYPE_CHECKING:
    from pathlib import Path

    import jsonschema_rs

    from lanspread_harness.fields import JsonObject

MAX_FAULTS_SHOWN = 3
"""A wrong record usually breaks one rule; the rest is echo."""

MAX_REASON_CHARS = 1000

SCHEMA_TIMEOUT_S = 10
"""The binary prints its schema from memory; longer means that it hangs."""


class Schema:
    """The compiled schema of one binary: `record` for what it prints, `command` for its input."""

    def __init__(self, document: JsonObject) -> None:
        # Imported late, so that commands can say how they are used before it is installed.
        import jsonschema_rs

        top = Fields(document, "schema")
        self._record = jsonschema_rs.validator_for(top.child("record").data)
        self._command = jsonschema_rs.validator_for(top.child("command").data)

    def check_record(self, value: JsonObject, line: str) -> None:
        """Raise `ProtocolError` when a printed record does not fit the schema."""
        if not self._record.is_valid(value):
            raise _misfit("a record", self._record, value, line)

    def check_command(self, value: JsonObject) -> None:
        """Raise `ProtocolError` when a command of the harness does not fit the schema."""
        if not self._command.is_valid(value):
            raise _misfit("a command", self._command, value, str(value))


def load_schema(binary: Path) -> Schema:
    """Ask the binary for its schema and compile it."""
    try:
        printed = subprocess.run(
            [binary, "schema"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
            timeout=SCHEMA_TIMEOUT_S,
        )
        return Schema(parse_object(printed.stdout))
    except (OSError, subprocess.SubprocessError, ProtocolError, ValueError) as error:
        said = getattr(error, "stderr", None) or ""
        reason = f"{error} {said}".strip().replace("\n", " ")[:MAX_REASON_CHARS]
        message = f"{binary} schema gives no usable schema: {reason}"
        raise EnvironmentLackingError(message) from error


def _misfit(
    what: str, validator: jsonschema_rs.Validator, value: JsonObject, line: str
) -> ProtocolError:
    faults = [
        f"at /{'/'.join(map(str, fault.instance_path))}: {fault.message[:300]}"
        for _, fault in zip(range(MAX_FAULTS_SHOWN), validator.iter_errors(value), strict=False)
    ]
    return ProtocolError(f"{what} fits the schema of the binary", [line[:1000], *faults])
