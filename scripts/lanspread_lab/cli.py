"""The command line of `lanspread-lab`: one call, from its arguments to its exit status.

Imports nothing of the harness, so that a call is quick.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanspread_lab import printing, runs
from lanspread_lab.arguments import make_parser
from lanspread_lab.errors import LabError, Status
from lanspread_lab.opening import open_lab
from lanspread_lab.places import place, places
from lanspread_lab.wire import call, is_open, not_open, wait_until_gone

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


Data = dict[str, Any]

SKILL = Path(__file__).with_name("skill.md")

FAULT_OPTIONS = (
    "one_way",
    "hears",
    "is_heard",
    "rate",
    "delay",
    "jitter",
    "queue",
    "loss",
    "duplicate",
    "corrupt",
    "reorder",
    "outbound",
    "inbound",
    "path",
    "offset",
    "free",
    "port",
)


def main(arguments: Sequence[str] | None = None, python: Callable[[], Path] | None = None) -> int:
    """Make one call and return its exit status.

    `python` gives the interpreter that a core is started with, which has the harness's packages.
    """
    options = make_parser().parse_args(arguments)
    interpreter = python or (lambda: Path(sys.executable))
    is_json = options.json or not sys.stdout.isatty()
    try:
        if options.verb == "trace":
            return runs.trace(options.run, interpreter, failures=options.failures)
        if options.verb in ("mcp", "attach"):
            return _run_face(options, interpreter)
        if options.verb == "skill":
            sys.stdout.write(SKILL.read_text(encoding="utf-8"))
            return Status.DONE
        data = _answer(options, interpreter)
    except LabError as error:
        return _failed(error, is_json=is_json)
    except BrokenPipeError:
        return Status.DONE
    except OSError as error:
        told = LabError("lab-environment", f"{error.filename}: {error.strerror}")
        return _failed(told, is_json=is_json)
    _print(printing.as_json(data) if is_json else printing.as_text(options.verb, data))
    return Status.DONE


def run_for_people(arguments: Sequence[str]) -> str:
    """Make a call for a prompt: what it answers as text, and errors on standard error."""
    options = make_parser().parse_args(arguments)
    try:
        data = _answer(options, lambda: Path(sys.executable))
    except (LabError, OSError) as error:
        told = error if isinstance(error, LabError) else LabError("lab-environment", str(error))
        _failed(told, is_json=False)
        return ""
    return printing.as_text(options.verb, data)


def _run_face(options: argparse.Namespace, interpreter: Callable[[], Path]) -> int:
    """Run what needs packages beyond the standard library."""
    try:
        if options.verb == "mcp":
            from lanspread_lab.mcp_server import main as run_server

            return run_server(interpreter)
        from lanspread_lab.attach import main as run_prompt

        return run_prompt(options.lab)
    except ModuleNotFoundError as error:
        raise LabError(
            "lab-environment",
            f"the package {error.name} is not installed",
            "install it with `pip install lanspread-harness[lab]`",
        ) from error


def _answer(options: argparse.Namespace, interpreter: Callable[[], Path]) -> Data:
    match options.verb:
        case "open":
            return open_lab(place(options.lab), options, interpreter)
        case "list":
            return {"labs": [call(at, "info", {}) for at in places() if is_open(at)]}
        case "close":
            return _close(options)
        case "run":
            return runs.begin(options)
        case "status":
            wait_s = options.timeout if options.run else 0
            return runs.status(options.run, wait_s)
        case "export":
            return _export(options)
    at = place(options.lab)
    return call(at, options.verb, _arguments(options), options.timeout)


def _arguments(options: argparse.Namespace) -> Data:
    """The arguments of the request that a verb makes."""
    match options.verb:
        case "game":
            return {
                "game": options.game,
                "files": options.files,
                "rar": options.rar,
                "from": str(options.from_directory.resolve()) if options.from_directory else None,
                "version": options.version,
                "at": options.at,
            }
        case "peer":
            return {
                "peer": options.peer,
                "games": options.game,
                "upload_limit": options.upload_limit,
                "network_key": options.network_key,
                "disk": options.disk,
                "auto_install": options.auto_install,
                "peer_timeout_s": options.peer_timeout,
                "connect": options.connect,
                "mdns": options.mdns,
                "alone": options.alone,
            }
        case "do":
            cmd = sys.stdin.read() if options.cmd == "-" else options.cmd
            return {"peer": options.peer, "cmd": cmd.strip(), "fields": options.fields}
        case "wait" if options.event is None:
            return {"handle": options.peer}
        case "fault":
            given = {name: getattr(options, name) for name in FAULT_OPTIONS}
            return {"kind": options.kind, "peers": options.peers, "options": given}
    shared = {"lab", "verb", "json", "timeout"}
    return {name: value for name, value in vars(options).items() if name not in shared}


def _close(options: argparse.Namespace) -> Data:
    if options.all == (options.lab is not None):
        raise LabError("lab-usage", "name one lab to close, or say --all")
    wanted = [at for at in places() if is_open(at)] if options.all else [place(options.lab)]
    for at in wanted:
        call(at, "close", {})
        wait_until_gone(at)
    return {"closed": [at.name for at in wanted]}


def _export(options: argparse.Namespace) -> Data:
    from lanspread_lab.export import export

    at = place(options.lab)
    if (options.scenario is None) == (options.pytest is None):
        raise LabError("lab-usage", "say --scenario FILE or --pytest FILE")
    closed = at.directory / "session.json"
    if is_open(at):
        session = call(at, "session", {})
    elif closed.exists():
        session = json.loads(closed.read_text(encoding="utf-8"))
    else:
        raise not_open(at.name)
    path = options.scenario or options.pytest
    text = export(at.name, session, is_scenario=options.scenario is not None)
    path.write_text(text, encoding="utf-8")
    return {"written": str(path), "steps": len(session["steps"])}


def _failed(error: LabError, *, is_json: bool) -> int:
    if is_json:
        _print(printing.as_json({"error": error.as_json()}))
    else:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        print(f"{error.code}: {error.message}{hint}", file=sys.stderr)
        for name, value in error.details.items():
            print(f"{name}: {json.dumps(value)}", file=sys.stderr)
    return error.status


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Whoever read has seen enough; nothing may be written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
