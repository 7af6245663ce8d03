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

    from lanspread_harness.fields import JsonObject

MAX_FAULTS_SHOWN = 3
"""A wrong record usually breaks one rule; the rest is echo."""

MAX_REASON_CHARS = 1000

SCHEMA_TIMEOUT_S = 10
"""The binary prints its schema from memory; longer means that it hangs."""


class Schema:
    """The compiled schema of one binary: `record` for what it prints, `command` for its input."""

    def __init__(self, document: JsonObject) -> None:
        self.document = document
        top = Fields(document, "schema")
        definitions = document.get("$defs", {})
        self._record = _Lines({**top.child("record").data, "$defs": definitions})
        self._command = _Lines({**top.child("command").data, "$defs": definitions})

    def check_record(self, value: JsonObject, line: str) -> None:
        """Raise `ProtocolError` when a printed record does not fit the schema."""
        self._record.check("a record", value, line)

    def check_command(self, value: JsonObject) -> None:
        """Raise `ProtocolError` when a command of the harness does not fit the schema."""
        self._command.check("a command", value, str(value))


class _Lines:
    """The schema of the lines of one direction."""

    def __init__(self, schema: JsonObject) -> None:
        # Imported late, so that commands can say how they are used before it is installed.
        import jsonschema_rs

        self._schema = schema
        self._compile = jsonschema_rs.validator_for
        self._validator = self._compile(schema)

    def check(self, what: str, value: JsonObject, line: str) -> None:
        """Raise `ProtocolError` when `value` does not fit."""
        if self._validator.is_valid(value):
            return
        errors = self._compile(_narrowed(self._schema, value)).iter_errors(value)
        faults = [
            f"at /{'/'.join(map(str, fault.instance_path))}: {fault.message[:300]}"
            for _, fault in zip(range(MAX_FAULTS_SHOWN), errors, strict=False)
        ]
        raise ProtocolError(f"{what} fits the schema of the binary", [line[:1000], *faults])


def _narrowed(schema: JsonObject, value: JsonObject) -> JsonObject:
    """The schema with the choice alone that the names in `value` make.

    A fault is then told where it is, and not as a line that fits none of many choices.
    """
    choices = schema.get("oneOf")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and _is_chosen(choice, value):
            others = {keyword: rule for keyword, rule in schema.items() if keyword != "oneOf"}
            return {**others, "allOf": [_narrowed(choice, value)]}
    return schema


def _is_chosen(choice: JsonObject, value: JsonObject) -> bool:
    """Whether all constants of the choice stand in `value`."""
    properties = choice.get("properties")
    rules = properties.items() if isinstance(properties, dict) else ()
    return all(
        value.get(name) == rule["const"]
        for name, rule in rules
        if isinstance(rule, dict) and "const" in rule
    )


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
