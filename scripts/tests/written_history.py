"""Histories written by hand, for tests of what is read from them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lanspread_harness.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from pathlib import Path

ALPHA_ID = "aaaaaaaa-0000-8000-8000-000000000000"
BRAVO_ID = "bbbbbbbb-0000-8000-8000-000000000000"


class WrittenHistory:
    """Lines of a history; times in microseconds on the runner's clock."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._seq: dict[tuple[str, int], int] = {}

    def add(self, t_us: int, **entry: object) -> None:
        self.lines.append(json.dumps({"t_us": t_us, **entry}))

    def start(self, t_us: int, peer: str, asked_us: int, run: int = 1) -> None:
        self.add(t_us, peer=peer, run=run, kind="start", asked_us=asked_us, argv=["peer"])

    def command(self, t_us: int, peer: str, number: object, cmd: str, **params: object) -> None:
        command = {"id": number, "cmd": cmd, **params}
        self.add(t_us, peer=peer, run=1, kind="command", command=command)

    def record(self, t_us: int, peer: str, printed_us: int, run: int = 1, **record: object) -> None:
        seq = self._seq.get((peer, run), 0) + 1
        self._seq[peer, run] = seq
        full = {"seq": seq, "t_us": printed_us, **record}
        self.add(t_us, peer=peer, run=run, kind="record", record=full)

    def ready(self, t_us: int, peer: str, printed_us: int, peer_id: str) -> None:
        self.record(t_us, peer, printed_us, type="ready", data={"peer_id": peer_id, "name": peer})

    def event(
        self, t_us: int, peer: str, printed_us: int, name: str, run: int = 1, **data: object
    ) -> None:
        self.record(t_us, peer, printed_us, run, type="event", event=name, data=data)

    def result(self, t_us: int, peer: str, printed_us: int, number: object, cmd: str) -> None:
        self.record(t_us, peer, printed_us, type="result", id=number, cmd=cmd, data={})

    def error(self, t_us: int, peer: str, printed_us: int, number: object, code: str) -> None:
        error = {"code": code, "message": "m", "retryable": False, "hint": "h"}
        self.record(t_us, peer, printed_us, type="error", id=number, cmd="c", error=error)

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "history.jsonl"
        path.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")
        return path

    def read(self, directory: Path) -> Timeline:
        return read_timeline(self.write(directory))


def two_peers() -> WrittenHistory:
    """Bravo, whose clock began at 1,000, fetches from alpha, whose clock began at 500."""
    history = WrittenHistory()
    history.start(600, "alpha", asked_us=400)
    history.ready(700, "alpha", 200, ALPHA_ID)
    history.start(1_010, "bravo", asked_us=900)
    history.ready(1_100, "bravo", 100, BRAVO_ID)
    history.command(2_000, "bravo", 1, "download", game_id="quake", wait=True)
    history.event(2_500, "bravo", 1_300, "download-begin", game_id="quake", bytes=30)
    for t_us, given in ((3_500, 10), (4_500, 10), (5_500, 25)):
        sources = [{"peer_id": ALPHA_ID, "bytes": given}]
        printed_us = t_us - 1_200
        name = "download-progress"
        history.event(t_us, "bravo", printed_us, name, game_id="quake", sources=sources)
    return history
