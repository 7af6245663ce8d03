"""Typed reading of JSON objects that a peer printed."""

from __future__ import annotations

from typing import TypeAlias

from lanspread_harness.errors import ProtocolError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]


class Fields:
    """One JSON object whose fields are read with the type they must have.

    `where` names the object in the `ProtocolError` that a missing or mistyped field raises.
    """

    __slots__ = ("data", "where")

    def __init__(self, data: JsonObject, where: str) -> None:
        self.data = data
        self.where = where

    def text(self, name: str) -> str:
        """The string `name`."""
        value = self.data.get(name)
        if isinstance(value, str):
            return value
        raise self._mistyped(name, "a string")

    def optional_text(self, name: str) -> str | None:
        """The string `name`, or `None` where it is absent or null."""
        return None if self.data.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """The integer `name`."""
        value = self.data.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._mistyped(name, "an integer")

    def optional_integer(self, name: str) -> int | None:
        """The integer `name`, or `None` where it is absent or null."""
        return None if self.data.get(name) is None else self.integer(name)

    def flag(self, name: str) -> bool:
        """The boolean `name`."""
        value = self.data.get(name)
        if isinstance(value, bool):
            return value
        raise self._mistyped(name, "a boolean")

    def child(self, name: str) -> Fields:
        """The object `name`."""
        value = self.data.get(name)
        if isinstance(value, dict):
            return Fields(value, f"{self.where}.{name}")
        raise self._mistyped(name, "an object")

    def children(self, name: str) -> list[Fields]:
        """The list of objects `name`."""
        found: list[Fields] = []
        for index, value in enumerate(self.items(name)):
            if not isinstance(value, dict):
                raise self._mistyped(f"{name}[{index}]", "an object")
            found.append(Fields(value, f"{self.where}.{name}[{index}]"))
        return found

    def items(self, name: str) -> list[JsonValue]:
        """The list `name`."""
        value = self.data.get(name)
        if isinstance(value, list):
            return value
        raise self._mistyped(name, "a list")

    def _mistyped(self, name: str, kind: str) -> ProtocolError:
        value = self.data.get(name)
        return ProtocolError(kind, [f"{value!r:.200}"], about=f"{self.where}: {name}")
