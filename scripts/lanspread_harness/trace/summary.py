"""A whole scenario in some lines: its peers, operations, transfers and faults."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lanspread_harness.fields import JsonObject, JsonValue
    from lanspread_harness.timeline import Clock, Fault, Operation, PeerRun
    from lanspread_harness.trace.find import Trace

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
UNIT_STEP = 1024


def summary(trace: Trace) -> JsonObject:
    """The summary as JSON: times in microseconds on the runner's clock, sizes in bytes."""
    timeline = trace.timeline
    return {
        "scenario": trace.name,
        "failed": trace.expectation is not None,
        "expectation": trace.expectation,
        "end_us": timeline.end_us,
        "entries": len(timeline.entries),
        "unreadable": timeline.unreadable,
        "peers": [_run(run) for run in timeline.runs],
        "operations": [_operation(operation) for operation in timeline.operations],
        "transfers": [
            {"source": source, "receiver": receiver, "game": game, "bytes": count}
            for (source, receiver, game), count in _transfers(trace).items()
        ],
        "faults": [_fault(fault) for fault in timeline.faults],
    }


def summary_lines(trace: Trace) -> list[str]:
    """The summary for a terminal."""
    timeline = trace.timeline
    head = f"{trace.name}  {seconds(timeline.end_us)}, {len(timeline.entries)} entries"
    if timeline.unreadable:
        head += f", unreadable lines: {timeline.unreadable}"
    peer = max((len(run.peer) for run in timeline.runs), default=0)
    sections = {
        "failed": [] if trace.expectation is None else [f"expected: {trace.expectation}"],
        "peers": [
            f"{run.peer:<{peer}}  run {run.run}  {moment(run.begin_us)} to "
            f"{moment(run.end_us)}  {run.status or 'end not seen'}, {run.records} records, "
            f"{precision(run.clock)}"
            for run in timeline.runs
        ],
        "operations": [
            f"{moment(o.begin_us)}  {o.peer:<{peer}}  {o.name} {o.game}  "
            f"{seconds(o.duration_us)}  {o.outcome}{f' {o.code}' if o.code else ''}"
            f"{f', {size(o.bytes)}' if o.bytes is not None else ''}"
            for o in timeline.operations
        ],
        "transfers": [
            f"{source} -> {receiver}  {game}  {size(count)}"
            for (source, receiver, game), count in _transfers(trace).items()
        ],
        "faults": [
            f"{moment(fault.begin_us)}  {fault.title}  {', '.join(fault.peers) or 'lab'}"
            f"{'' if fault.end_us is None else f'  for {seconds(fault.end_us - fault.begin_us)}'}"
            for fault in timeline.faults
        ],
    }
    lines = [head]
    for title, content in sections.items():
        if content:
            lines += [f"  {title}", *(f"    {line}" for line in content)]
    return lines


def moment(at_us: int | None) -> str:
    """A time on the runner's clock."""
    return "?" if at_us is None else f"{at_us / 1e6:+.3f} s"


def seconds(duration_us: int) -> str:
    """A duration."""
    return f"{duration_us / 1e6:.3f} s"


def size(count: int) -> str:
    """A number of bytes, rounded to be read."""
    step = 0
    while count >= UNIT_STEP ** (step + 1) and step < len(UNITS) - 1:
        step += 1
    return f"{count} B" if step == 0 else f"{count / UNIT_STEP**step:.1f} {UNITS[step]}"


def precision(clock: Clock | None) -> str:
    """How well the times of a run are known."""
    if clock is None:
        return "no times of its own"
    if clock.error_us is None:
        return "times as they were read"
    return f"times to within {clock.error_us / 1e3:.1f} ms"


def _transfers(trace: Trace) -> Counter[tuple[str, str, str]]:
    totals: Counter[tuple[str, str, str]] = Counter()
    for transfer in trace.timeline.transfers:
        totals[transfer.source, transfer.receiver, transfer.game] += transfer.bytes
    return totals


def _run(run: PeerRun) -> JsonObject:
    return {
        "peer": run.peer,
        "run": run.run,
        "begin_us": run.begin_us,
        "end_us": run.end_us,
        "status": run.status,
        "records": run.records,
        "offset_us": None if run.clock is None else run.clock.offset_us,
        "error_us": None if run.clock is None else run.clock.error_us,
    }


def _operation(operation: Operation) -> JsonObject:
    return {
        "peer": operation.peer,
        "run": operation.run,
        "operation": operation.name,
        "game": operation.game,
        "begin_us": operation.begin_us,
        "duration_us": operation.duration_us,
        "outcome": operation.outcome,
        "code": operation.code,
        "bytes": operation.bytes,
    }


def _fault(fault: Fault) -> JsonObject:
    peers: list[JsonValue] = list(fault.peers)
    return {
        "fault": fault.name,
        "peers": peers,
        "begin_us": fault.begin_us,
        "end_us": fault.end_us,
        "detail": fault.detail,
    }
