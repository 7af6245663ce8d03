"""The command line of `lanspread-lab`."""

from __future__ import annotations

import argparse
from pathlib import Path

from lanspread_lab.values import seconds
from lanspread_lab.wire import DEFAULT_TIMEOUT_S

BACKENDS = ("process", "netns", "docker")
IDLE = "30m"
PEER_TIMEOUT_S = 6.0
"""Long enough for a busy machine, and short for who waits until a peer is lost."""

EPILOG = """\
exit status: 0 done, 1 a peer refused or what was expected did not hold, 2 usage,
3 the machine lacks something or the lab is gone, 4 not done within --timeout

example:
  lanspread-lab open demo
  lanspread-lab game demo quake --files quake.eti=8MiB
  lanspread-lab peer demo alpha --game quake
  lanspread-lab peer demo bravo
  lanspread-lab do demo bravo download game_id=quake wait=true
  lanspread-lab look demo
  lanspread-lab close demo
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="lanspread-lab",
        description="Keep a lab of Lanspread peers open between shell calls.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--json", action="store_true", help="print one JSON object; the default in a pipe"
    )
    shared.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT_S,
        metavar="TIME",
        help=f"how long the call waits (default: {DEFAULT_TIMEOUT_S:g}s)",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, *, lab: bool = True) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, parents=[shared], help=text, description=text)
        if lab:
            added.add_argument("lab", help="the name of the lab")
        return added

    _open(verb("open", "Open a lab, which goes on in the background."))
    _game(verb("game", "Plan a game, or another version of one, and put it into the catalogs."))
    _peer(verb("peer", "Add a peer that holds games, and start it."))
    doing = verb("do", "Give a peer a command and wait for its answer.")
    doing.add_argument("peer")
    doing.add_argument("cmd", help="a command of the JSONL protocol, a JSON object, or - for stdin")
    doing.add_argument("fields", nargs="*", help="key=value; @alpha is the address of alpha")
    waiting = verb("wait", "Wait for an event of a peer, or for a call that goes on.")
    waiting.add_argument("peer", help="the peer, or the handle of a call")
    waiting.add_argument("event", nargs="?")
    waiting.add_argument("fields", nargs="*", help="field=value; also != < > <= >=")
    waiting.add_argument("--since", type=int, metavar="SEQ", help="only records after this one")
    _fault(verb("fault", "Break something; tells the id of the fault."))
    healing = verb("heal", "Put a fault right.")
    healing.add_argument("fault", nargs="?", default="all", help="its id (default: all)")
    looking = verb("look", "Show peers, games, operations and faults at one glance.")
    looking.add_argument("--peer")
    looking.add_argument("--game")
    past = verb("history", "Show what happened.")
    past.add_argument("--since", type=int, metavar="CURSOR")
    past.add_argument("--peer")
    past.add_argument("--event")
    past.add_argument("--limit", type=int, metavar="N")
    exporting = verb("export", "Write the session as a test that repeats it.")
    exporting.add_argument("--scenario", type=Path, metavar="FILE")
    exporting.add_argument("--pytest", type=Path, metavar="FILE")
    closing = verb("close", "Close a lab; nothing of its peers is left.", lab=False)
    closing.add_argument("lab", nargs="?")
    closing.add_argument("--all", action="store_true")
    verb("list", "List the labs that are open.", lab=False)
    verb("skill", "Print the page that an agent reads first.", lab=False)
    verb("attach", "A prompt with completion for people.")
    verb("mcp", "Serve the verbs as tools of an MCP server on standard input.", lab=False)
    _runs(verbs, shared)
    return parser


def _open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=BACKENDS, default="process")
    parser.add_argument("--seed", type=int, metavar="N", help="decides every random choice")
    parser.add_argument(
        "--idle",
        type=seconds,
        default=seconds(IDLE),
        metavar="TIME",
        help=f"how long after the last call it ends (default: {IDLE})",
    )
    parser.add_argument("--binary", type=Path, metavar="PATH", help="a lanspread-peer-cli")


def _game(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("game", help="its id")
    content = parser.add_mutually_exclusive_group()
    content.add_argument("--files", nargs="+", metavar="PATH=SIZE", help="such as quake.eti=64MiB")
    content.add_argument("--rar", choices=("plain", "solid", "many"), help="one real archive")
    content.add_argument("--from", type=Path, metavar="DIR", dest="from_directory")
    parser.add_argument("--version", metavar="V", help="eight digits; another one is an update")
    parser.add_argument(
        "--at", action="append", metavar="PEER", default=[], help="put it on this peer's disk"
    )


def _peer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("peer", help="its name")
    parser.add_argument(
        "--game", action="append", metavar="ID", default=[], help="it holds this game"
    )
    parser.add_argument("--upload-limit", metavar="SIZE", help="such as 8MiB, each second")
    parser.add_argument("--network-key", metavar="K")
    parser.add_argument("--disk", metavar="SIZE", help="give it a disk of its own")
    parser.add_argument("--auto-install", action="store_true")
    parser.add_argument(
        "--peer-timeout",
        type=seconds,
        default=PEER_TIMEOUT_S,
        metavar="TIME",
        help="silence after which it loses another peer; it pings after a third of that "
        f"(default: {PEER_TIMEOUT_S:g}s, shorter than a real peer's 30s)",
    )
    joining = parser.add_mutually_exclusive_group()
    joining.add_argument("--connect", action="append", metavar="PEER", help="dial these alone")
    joining.add_argument("--mdns", action="store_true", help="let it find others by mDNS")
    joining.add_argument("--alone", action="store_true", help="let it dial nobody")


def _fault(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "kind",
        help="cut A B, isolate A, shape A, readdress A, port-taken A, disk-full A, unreadable A, "
        "flip A, freeze A, thaw A, kill A, stop A, restart A",
    )
    parser.add_argument("peers", nargs="+", metavar="PEER")
    parser.add_argument("--one-way", action="store_true", help="cut: B still reaches A")
    parser.add_argument("--hears", action="store_true", help="isolate: it still hears others")
    parser.add_argument("--is-heard", action="store_true", help="isolate: others still hear it")
    for name, what in (
        ("rate", "10Mbit"),
        ("delay", "40ms"),
        ("jitter", "5ms"),
        ("queue", "50ms"),
        ("loss", "2%%"),
        ("duplicate", "1%%"),
        ("corrupt", "1%%"),
        ("reorder", "1%%"),
    ):
        parser.add_argument(f"--{name}", metavar="X", help=f"shape: such as {what}")
    parser.add_argument("--outbound", action="store_true", help="shape: only what it sends")
    parser.add_argument("--inbound", action="store_true", help="shape: only what it gets")
    parser.add_argument("--path", help="flip, unreadable: a file below its games directory")
    parser.add_argument("--offset", type=int, metavar="N", help="flip: which byte")
    parser.add_argument("--free", metavar="SIZE", help="disk-full: what is left")
    parser.add_argument("--port", type=int, metavar="N", help="port-taken: which (default: 5353)")


def _runs(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    text = "Run scenarios in the background."
    run = verbs.add_parser("run", parents=[shared], help=text, description=text)
    run.add_argument("scenarios", nargs="+", metavar="S22")
    run.add_argument("--backend", choices=BACKENDS, default="process")
    run.add_argument("--binary", type=Path, metavar="PATH")
    run.add_argument("--seed", type=int, metavar="N")
    text = "Tell how a run of scenarios is."
    status = verbs.add_parser("status", parents=[shared], help=text, description=text)
    status.add_argument("run", nargs="?", help="its name; all of them without one")
    text = "Tell what happened in a run; takes the options of trace.py."
    trace = verbs.add_parser("trace", parents=[shared], help=text, description=text)
    trace.add_argument("run", help="its name")
    trace.add_argument("--failures", action="store_true")
