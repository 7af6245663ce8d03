"""Prints answers: one JSON object for programs, a few lines for people.

Names that peers tell are data. On a terminal, what could move its cursor is shown as escapes.
"""

from __future__ import annotations

import json
from typing import Any

Data = dict[str, Any]


def as_json(data: Data) -> str:
    """One line."""
    return json.dumps(data, ensure_ascii=True)


def as_text(verb: str, data: Data) -> str:
    """Lines for a terminal."""
    lines = _picture(data) if verb == "look" else _lines(verb, data)
    return "\n".join(_plain(line) for line in lines)


def _plain(line: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _lines(verb: str, data: Data) -> list[str]:
    if verb == "history":
        lines = [_entry(entry) for entry in data["entries"]]
        return [*lines, f"cursor {data['cursor']}"]
    if verb == "list":
        head = ["lab", "backend", "peers", "directory"]
        rows = [[str(lab.get(name, "")) for name in head] for lab in data["labs"]]
        return _table(head, rows)
    if verb == "do":
        inner = data["data"]
        return [f"{name}: {_value(value)}" for name, value in inner.items()] or ["done"]
    return [f"{name}: {_value(value)}" for name, value in data.items()]


def _picture(data: Data) -> list[str]:
    lines = [f"lab {data['lab']} on {data['backend']}", ""]
    rows = []
    for peer in data["peers"]:
        games = "; ".join(f"{game}: {words}" for game, words in peer.get("games", {}).items())
        sees = ", ".join(peer.get("sees", ()))
        doing = "; ".join(map(_operation, peer.get("operations", ())))
        rows.append([peer["peer"], peer["state"], sees, games, doing])
    lines += _table(["peer", "state", "sees", "games", "does"], rows)
    for name in ("faults", "calls", "troubles"):
        if data[name]:
            lines += ["", f"{name}:", *(f"  {_value(item)}" for item in data[name])]
    return [*lines, "", f"cursor {data['cursor']}"]


def _operation(operation: Data) -> str:
    progress = operation.get("progress", {})
    done, total = progress.get("bytes_done"), progress.get("bytes_total")
    kind = operation.get("operation", operation.get("kind", "works"))
    share = f" {100 * done // total}%" if done is not None and total else ""
    return f"{kind} {operation.get('game_id', '')}{share}"


def _entry(entry: Data) -> str:
    who = entry.get("peer") or ",".join(entry.get("peers", ()))
    named = (
        f"{name} {_value(entry[name])}"
        for name in entry
        if name not in ("t_s", "peer", "peers", "kind")
    )
    return f"{entry['t_s']:>9.3f} {who:<10} {entry['kind']:<7} {' '.join(named)}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in [head, *rows]
    ]
    return [line.rstrip() for line in lines]


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
