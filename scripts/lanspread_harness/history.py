"""`history.jsonl`: commands and records of every peer, and every fault, on the runner's clock.

One JSON object a line: `t_us` (microseconds since the lab began), `peer` (absent for notes), `run`
(which start of that peer, from 1), `kind` and what belongs to it. Kinds: `command` (the object, or
`text` where a scenario sent something that is no JSON object), `record`, `start`, `exit`, `fault`,
`note`, `failure`. `scripts/README.md` describes what belongs to each; `timeline` reads it again.

A `fault` has its name in `fault`, an `id` that ties its lines together, and a `phase`: `begin` (it
is in effect some time after this line, and at the latest when the scenario goes on), `end` (it has
been out of effect for some time before this line), or `instant`. It names the `peer` it is about,
or `peers` where it is about several, and has a `detail` object: what was asked for, at the begin,
and what was seen of it, at the end. `run` is there where it is about one process.
"""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from lanspread_harness.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from lanspread_harness.fields import JsonObject, JsonValue

BUFFER_BYTES = 1024 * 1024
"""A disk that is busy with downloads blocks whoever writes to it, so that is done rarely."""

MAX_TEXT_CHARS = 4096
"""How much of a deliberately broken line is kept; an over-long one would drown the rest."""


class FaultPhase(StrEnum):
    """Where in a fault's life a line of the history stands."""

    BEGIN = "begin"
    END = "end"
    INSTANT = "instant"


class History:
    """Writes one `history.jsonl`. Lines are buffered; the file is complete after the `with`.

    Where it cannot be written, that fails the scenario once; what follows is dropped, so that all
    that is to be put right at the end still is.
    """

    def __init__(self, path: Path, watch: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._watch = watch
        self._faults = 0
        self._broken = False
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
        try:
            self._file.close()
        except OSError as trouble:
            # What failed before explains more.
            if error is None and not self._broken:
                raise self._unwritten(trouble) from trouble

    def now_us(self) -> int:
        """Microseconds since the lab began."""
        return (time.monotonic_ns() - self._origin_ns) // 1000

    def record(self, peer: str, run: int, line: str) -> None:
        """A line the peer printed; it must have been read as JSON already."""
        head = json.dumps({"t_us": self.now_us(), "peer": peer, "run": run, "kind": "record"})
        self._put(f'{head[:-1]}, "record": {line}}}\n')

    def command(self, peer: str, run: int, command: JsonObject) -> None:
        """A well-formed command sent to the peer."""
        self._write({"peer": peer, "run": run, "kind": "command", "command": command})
        self._notify_watch(f"{peer}: {command['cmd']}")

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

    def fault(
        self,
        fault: str,
        phase: FaultPhase,
        peers: Sequence[str],
        *,
        run: int | None = None,
        fault_id: int | None = None,
        detail: Mapping[str, JsonValue] | None = None,
    ) -> int:
        """The harness breaks something or puts it right; the id that ties its lines together.

        `run` is given where the fault is about one process of one peer. Without `fault_id` it is a
        fault of its own.
        """
        if fault_id is None:
            self._faults += 1
            fault_id = self._faults
        entry: JsonObject = {"kind": "fault", "fault": fault, "id": fault_id, "phase": phase.value}
        if len(peers) == 1:
            entry["peer"] = peers[0]
        else:
            entry["peers"] = list(peers)
        if run is not None:
            entry["run"] = run
        self._write({**entry, "detail": dict(detail or {})})
        self._notify_watch(f"{', '.join(peers)}: {fault} {phase.value}")
        return fault_id

    def failure(self, expectation: str) -> None:
        """The scenario failed. What the file has until here can be read from now on."""
        self._write({"kind": "failure", "expectation": expectation})
        self._file.flush()

    def flush(self) -> None:
        """Let what was written so far be read."""
        if not self._broken:
            try:
                self._file.flush()
            except OSError as trouble:
                self._broken = True
                raise self._unwritten(trouble) from trouble

    def note(self, text: str) -> None:
        """A step of the scenario, in words."""
        self._write({"kind": "note", "text": text})
        self._notify_watch(text)

    def _notify_watch(self, step: str) -> None:
        if self._watch is not None:
            self._watch(step)

    def _write(self, entry: JsonObject) -> None:
        stamped: JsonObject = {"t_us": self.now_us(), **entry}
        self._put(json.dumps(stamped, ensure_ascii=False) + "\n")

    def _put(self, line: str) -> None:
        if self._broken:
            return
        try:
            self._file.write(line)
        except OSError as trouble:
            self._broken = True
            raise self._unwritten(trouble) from trouble

    def _unwritten(self, trouble: OSError) -> ScenarioError:
        return ScenarioError("the history can be written", [f"{self.path}: {trouble.strerror}"])
