"""Turns `key=value` of a command line into the fields of a JSONL command.

The schema of the binary says which fields are text, so that `game_id=7` stays a name. What the
schema does not know is sent all the same: the peer's own error says more about it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lanspread_lab.errors import LabError
from lanspread_lab.values import json_or_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_harness.fields import JsonObject


class CommandFields:
    """Which fields of which commands are text."""

    def __init__(self, document: JsonObject) -> None:
        self.commands: dict[str, list[str]] = {}
        self.events = _event_names(document)
        self._text: dict[str, set[str]] = {}
        for choice in _objects(_object(document, "command").get("oneOf")):
            fields = _object(choice, "properties")
            name = _object(fields, "cmd").get("const")
            if isinstance(name, str):
                self.commands[name] = sorted(fields)
                self._text[name] = {
                    field for field, rule in fields.items() if _is_text(rule, document)
                }

    def knows(self, cmd: str) -> bool:
        """Whether the binary has a command of this name."""
        return cmd in self._text

    def read(self, cmd: str, words: Sequence[str]) -> JsonObject:
        """The fields in `words`: `key=value` each, or one JSON object."""
        if len(words) == 1 and words[0].lstrip().startswith("{"):
            return self._object(words[0])
        fields: JsonObject = {}
        for word in words:
            name, sign, value = word.partition("=")
            if not sign or not name:
                raise LabError("lab-usage", f"{word!r} is not key=value", "try game_id=quake")
            if name in self._text.get(cmd, ()):
                fields[name] = value
            else:
                fields[name] = json_or_text(value)
        return fields

    def _object(self, text: str) -> JsonObject:
        try:
            found = json.loads(text)
        except ValueError as error:
            raise LabError("lab-usage", f"the command is not a JSON object: {error}") from error
        if not isinstance(found, dict):
            raise LabError("lab-usage", "the command is not a JSON object")
        found.pop("id", None)
        return found


def _event_names(document: JsonObject) -> list[str]:
    """The names of all events: the constants of `event` anywhere in the schema."""
    found: set[str] = set()
    waiting: list[object] = [document.get("record"), document.get("$defs")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            name = _object(_object(value, "properties"), "event").get("const")
            found |= {name} if isinstance(name, str) else set()
            waiting += value.values()
    return sorted(found)


def _is_text(rule: object, document: JsonObject) -> bool:
    if isinstance(rule, dict) and isinstance(rule.get("$ref"), str):
        name = rule["$ref"].rpartition("/")[2]
        rule = _object(document, "$defs").get(name)
    if not isinstance(rule, dict):
        return False
    kind = rule.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return "string" in kinds or "enum" in rule


def _object(value: object, name: str) -> JsonObject:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _objects(value: object) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
