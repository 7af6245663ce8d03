"""The command line of the trace tool: `trace.py`."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.errors import UsageError
from lanspread_harness.output import print_stderr, run_answer
from lanspread_harness.timeline.excerpt import format_entry
from lanspread_harness.trace.find import find
from lanspread_harness.trace.summary import summary, summary_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lanspread_harness.fields import JsonObject
    from lanspread_harness.timeline import Entry
    from lanspread_harness.trace.find import Trace

EXIT_DONE = 0
EXIT_USAGE = 2

CONTEXT = 10
"""How many entries stand on each side of the one that was asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer what the arguments ask and return the exit status."""
    return run_answer(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _check(options)
        for line in _answer(find(options.run, options.scenarios), options):
            print(line)
    except UsageError as error:
        print_stderr(f"usage: {error}")
        return EXIT_USAGE
    return EXIT_DONE


def check_usage(arguments: Sequence[str] | None = None) -> int | None:
    """Look at the arguments alone; the exit status where they are wrong. Help ends the process."""
    try:
        _check(_parser().parse_args(arguments))
    except UsageError as error:
        print_stderr(f"usage: {error}")
        return EXIT_USAGE
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/trace.py",
        description="What happened in a run: all its peers were told and said, on one clock.",
        epilog="exit status: 0 answered, 1 the answer cannot be written, 2 there is nothing such",
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="directory of a run or scenario, or a history.jsonl"
    )
    parser.add_argument("scenarios", nargs="*", metavar="S22", help="scenarios; all if none")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--summary",
        action="store_true",
        help="peers, operations, transfers and faults; this is also what no option gives",
    )
    what.add_argument(
        "--failures", action="store_true", help="the first failure, and the entries around it"
    )
    what.add_argument(
        "--around", type=int, metavar="SEQ", help="the entries around a record of --peer"
    )
    parser.add_argument("--peer", metavar="NAME", help="only entries of this peer")
    parser.add_argument(
        "--run", type=int, dest="start", metavar="N", help="only entries of this start of a peer"
    )
    parser.add_argument("--event", metavar="NAME", help="only events of this name")
    parser.add_argument("--grep", metavar="REGEX", help="only entries whose line matches")
    parser.add_argument(
        "--context",
        type=int,
        default=CONTEXT,
        metavar="N",
        help=f"entries on each side, with --around and --failures (default: {CONTEXT})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.around is not None and options.peer is None:
        raise UsageError("--around needs --peer: each peer counts its own records")
    if options.context < 0:
        raise UsageError("--context cannot be negative")
    chooses = any(value is not None for value in (options.event, options.grep))
    if chooses and (options.summary or options.failures or options.around is not None):
        raise UsageError("--event and --grep choose entries, and go with none of the others")
    try:
        re.compile(options.grep or "")
    except re.error as error:
        raise UsageError(f"--grep is no regular expression: {error}") from error


def _answer(traces: Sequence[Trace], options: argparse.Namespace) -> Iterator[str]:
    if options.failures:
        yield from _failures(traces, options)
    elif options.around is not None:
        yield from _around(traces, options)
    elif any(value is not None for value in (options.peer, options.event, options.grep)):
        yield from _chosen(traces, options)
    else:
        for trace in traces:
            yield from [json.dumps(summary(trace))] if options.json else summary_lines(trace)


def _failures(traces: Sequence[Trace], options: argparse.Namespace) -> Iterator[str]:
    failed = [trace for trace in traces if trace.expectation is not None]
    if not failed and not options.json:
        yield "nothing failed"
    for trace in failed:
        entries = trace.timeline.entries
        marked = trace.timeline.failure
        index = entries.index(marked) if marked in entries else len(entries) - 1
        around = _window(entries, index, options.context)
        if options.json:
            document: JsonObject = {
                "scenario": trace.name,
                "expectation": trace.expectation,
                "at_us": None if marked is None else marked.at_us,
                "entries": [as_json(trace, entry) for entry in around],
            }
            yield json.dumps(document)
        else:
            yield f"{trace.name}  expected: {trace.expectation}"
            yield from _lines(trace, around, marked)


def _around(traces: Sequence[Trace], options: argparse.Namespace) -> Iterator[str]:
    answered = False
    for trace in traces:
        entries = trace.timeline.entries
        for index, entry in enumerate(entries):
            if entry.seq == options.around and _is_of_peer(entry, options):
                answered = True
                around = _window(entries, index, options.context)
                if options.json:
                    yield from (json.dumps(as_json(trace, entry)) for entry in around)
                else:
                    yield f"{trace.name}  around record {options.around} of {options.peer}"
                    yield from _lines(trace, around, entry)
    if not answered:
        raise UsageError(f"{options.peer} printed no record {options.around}")


def _chosen(traces: Sequence[Trace], options: argparse.Namespace) -> Iterator[str]:
    known = {peer for trace in traces for peer in trace.timeline.peers}
    if options.peer is not None and options.peer not in known:
        raise UsageError(f"there is no peer {options.peer}; there are {', '.join(sorted(known))}")
    pattern = re.compile(options.grep or "")
    for trace in traces:
        chosen = [
            entry
            for entry in trace.timeline.entries
            if (options.peer is None or _is_of_peer(entry, options))
            and (options.event is None or options.event == entry.data.get("event"))
            and pattern.search(entry.text)
        ]
        if options.json:
            yield from (json.dumps(as_json(trace, entry)) for entry in chosen)
        elif chosen:
            yield trace.name
            yield from _lines(trace, chosen, None)


def _is_of_peer(entry: Entry, options: argparse.Namespace) -> bool:
    return entry.peer == options.peer and options.start in {None, entry.run}


def _window(entries: Sequence[Entry], index: int, context: int) -> Sequence[Entry]:
    return entries[max(0, index - context) : index + context + 1]


def _lines(trace: Trace, entries: Sequence[Entry], marked: Entry | None) -> Iterator[str]:
    names = trace.timeline.names
    for entry in entries:
        seq = "" if entry.seq is None else f"#{entry.seq}"
        yield f"{'>' if entry is marked else ' '} {seq:>6} {format_entry(entry, names)}"


def as_json(trace: Trace, entry: Entry) -> JsonObject:
    """An entry as it is printed with `--json`."""
    return {
        "scenario": trace.name,
        "at_us": entry.at_us,
        "logged_us": entry.logged_us,
        "peer": entry.peer,
        "run": entry.run,
        "kind": entry.kind,
        "name": entry.name,
        "seq": entry.seq,
        "line": entry.line,
        "data": entry.data,
    }
