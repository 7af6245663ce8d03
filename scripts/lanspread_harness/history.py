"""`history.jsonl`: what every peer was told and said, and every fault, on the runner's clock.

One JSON object a line: `t_us` (microseconds since the lab began), `peer` (absent for notes), `run`
(which start of that peer, from 1), `kind` and what belongs to it. Kinds: `command` (the object, or
`text` where a scenario sent something that is no JSON object), `record`, `start`, `exit`, `fault`,
`note`, `failure`. `scripts/README.md` describes what belongs to each; `timeline` reads it again.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from lanspread_harness.fields import JsonObject

BUFFER_BYTES = 1024 * 1024
"""A disk that is busy with downloads blocks whoever writes to it, so that is done rarely."""

MAX_TEXT_CHARS = 4096
"""How much of a deliberately broken line is kept; an over-long one would drown the rest."""


class History:
    """Writes one `history.jsonl`. Lines are buffered; the file is complete after the `with`."""

    def __init__(self, path: Path, watch: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._watch = watch
        self._origin_ns = time.monotonic_ns()
        self._file = path.open(
            "w", encoding="utf-8", errors="backslashreplace", buffering=BUFFER_BYTES
        )

    def __enter__(self) -> History:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def now_us(self) -> int:
        """Microseconds since the lab began."""
        return (time.monotonic_ns() - self._origin_ns) // 1000

    def record(self, peer: str, run: int, line: str) -> None:
        """A line the peer printed; it must have been read as JSON already."""
        head = json.dumps({"t_us": self.now_us(), "peer": peer, "run": run, "kind": "record"})
        self._file.write(f'{head[:-1]}, "record": {line}}}\n')

    def command(self, peer: str, run: int, command: JsonObject) -> None:
        """A well-formed command sent to the peer."""
        self._write({"peer": peer, "run": run, "kind": "command", "command": command})
        self._tell(f"{peer}: {command['cmd']}")

    def text(self, peer: str, run: int, line: bytes) -> None:
        """A line sent to the peer as it is, which need not be JSON."""
        text = line[:MAX_TEXT_CHARS].decode("utf-8", "backslashreplace")
        self._write({"peer": peer, "run": run, "kind": "command", "text": text, "bytes": len(line)})

    def start(self, peer: str, run: int, command_line: list[str], asked_us: int) -> None:
        """A peer was started; its process did not exist yet at `asked_us`."""
        entry: JsonObject = {"peer": peer, "run": run, "kind": "start", "asked_us": asked_us}
        self._write({**entry, "argv": list(command_line)})

    def exit(self, peer: str, run: int, status: str) -> None:
        """A peer ended."""
        self._write({"peer": peer, "run": run, "kind": "exit", "status": status})

    def fault(self, peer: str, run: int, fault: str) -> None:
        """The harness did something to a peer."""
        self._write({"peer": peer, "run": run, "kind": "fault", "fault": fault})
        self._tell(f"{peer}: {fault}")

    def failure(self, expectation: str) -> None:
        """The scenario failed, and its end begins."""
        self._write({"kind": "failure", "expectation": expectation})

    def note(self, text: str) -> None:
        """A step of the scenario, in words."""
        self._write({"kind": "note", "text": text})
        self._tell(text)

    def _tell(self, step: str) -> None:
        if self._watch is not None:
            self._watch(step)

    def _write(self, entry: JsonObject) -> None:
        stamped: JsonObject = {"t_us": self.now_us(), **entry}
        self._file.write(json.dumps(stamped, ensure_ascii=False) + "\n")
