"""Writes `report.html`: one file that shows a run and needs nothing else, no network included.

Everything that a peer printed reaches the page as data: packed (see `packing`) or as JSON whose
angle brackets are escaped, and the scripts put it there as text. The page's policy allows exactly
its own script and style, so that even a mistake in that could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_harness.evidence import Failure
    from lanspread_harness.fields import JsonObject
    from lanspread_harness.report.packing import Packed

SCRIPTS = (
    "inflate.js",
    "model.js",
    "drawing.js",
    "timeline.js",
    "records.js",
    "detail.js",
    "overview.js",
    "app.js",
)
"""In the order in which they need each other."""

MARKER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the page says of the run as a whole: its name, and whatever else in a few words."""

    run_id: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario on one backend, once. `anchor` names it in the address of the page."""

    anchor: str
    scenario: str
    promise: str
    backend: str
    repeat: int
    state: str
    duration_s: float
    reason: str | None
    failure: Failure | None
    timeline: Packed | None


def write_page(path: Path, facts: RunFacts, cases: Sequence[Case]) -> None:
    """Write the page whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(render(facts, cases), encoding="utf-8")
    temporary.replace(path)


def render(facts: RunFacts, cases: Sequence[Case]) -> str:
    """The page."""
    style = _source("style.css")
    sources = "\n".join(_source(name) for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{sources}\n}})();\n'
    packed = [(number, case.timeline) for number, case in enumerate(cases) if case.timeline]
    index: JsonObject = {
        "run": facts.run_id,
        "facts": list(facts.words),
        "cases": [_indexed(number, case) for number, case in enumerate(cases)],
    }
    values = {
        "policy": _policy(style, script),
        "title": html.escape(f"Scenarios {facts.run_id}"),
        "style": style,
        "index": _inert(index),
        "data": "\n".join(_data(number, timeline) for number, timeline in packed),
        "script": script,
    }
    # In one pass: what is put in is not looked at again.
    return MARKER.sub(lambda marker: values[marker[1]], _source("page.html"))


def _data(number: int, timeline: Packed) -> str:
    return f'<script type="application/octet-stream" id="data-{number}">{timeline.text}</script>'


def _source(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _inert(value: JsonObject) -> str:
    """JSON without a character that could end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _indexed(number: int, case: Case) -> JsonObject:
    failure = case.failure
    return {
        "anchor": case.anchor,
        "scenario": case.scenario,
        "promise": case.promise,
        "backend": case.backend,
        "repeat": case.repeat,
        "state": case.state,
        "duration_s": round(case.duration_s, 3),
        "reason": case.reason,
        "message": None if failure is None else failure.message,
        "expectation": None if failure is None else failure.expectation,
        "evidence": [] if failure is None else list(failure.evidence_shown),
        "records": [] if failure is None else list(failure.records),
        "command": None if failure is None else failure.command,
        "entries": 0 if case.timeline is None else case.timeline.entries,
        "data": None if case.timeline is None else f"data-{number}",
    }
