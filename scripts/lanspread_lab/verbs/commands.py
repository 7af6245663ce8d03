"""`do` and `wait`: a command of a peer, and an event that it prints."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lanspread_harness.errors import PeerExitedError, RecordTimeoutError
from lanspread_harness.records import Event, Failure
from lanspread_lab.errors import LabError
from lanspread_lab.values import Condition

if TYPE_CHECKING:
    from lanspread_harness.client import Peer
    from lanspread_harness.records import Record
    from lanspread_lab.core import Core

ANSWER_TIMEOUT_S = 24 * 3600.0
"""The core waits for answers as long as a peer takes; it is the call that gives up earlier."""

SHOWN_EVENTS = 5


async def do(core: Core, arguments: dict[str, Any]) -> dict[str, Any]:
    """Give a peer a command and wait for its answer."""
    peer = core.world.running(str(arguments["peer"]))
    words = [str(word) for word in arguments.get("fields", ())]
    cmd = str(arguments["cmd"])
    if arguments.get("object") is not None:
        fields = dict(arguments["object"])
        fields.pop("id", None)
    elif cmd.startswith("{"):
        fields = core.fields.read("", [cmd])
        cmd = str(fields.pop("cmd", ""))
    else:
        fields = core.fields.read(cmd, words)
    if not cmd:
        raise LabError("lab-usage", "the command has no name", 'write it as {"cmd": "status"}')
    step = core.steps.command(peer.name, cmd, {k: core.symbol(v) for k, v in fields.items()})
    fields = {name: core.resolve(value) for name, value in fields.items()}
    try:
        record = await peer.session.terminal(cmd, fields, ANSWER_TIMEOUT_S, checked=False)
    except PeerExitedError as error:
        raise LabError("lab-peer-ended", str(error)) from error
    if isinstance(record, Failure):
        step.refused(record.code)
        raise LabError(
            record.code, record.message, record.hint, peer=peer.name, retryable=record.retryable
        )
    step.held()
    return {"peer": peer.name, "cmd": cmd, "data": record.data.data, "seq": record.seq}


async def wait(core: Core, arguments: dict[str, Any]) -> dict[str, Any]:
    """Wait for an event of a peer whose data are as asked for."""
    peer = core.world.peer(str(arguments["peer"]))
    name = str(arguments["event"])
    asked = [Condition.read(str(word)) for word in arguments.get("fields", ())]
    conditions = [replace(c, value=core.resolve(c.value)) for c in asked]
    since = int(arguments.get("since") or 0)
    timeout_s = float(arguments["timeout_s"])
    told = [replace(c, value=core.symbol(c.value)) for c in conditions]
    step = core.steps.wait(peer.name, name, told, timeout_s)

    def select(record: Record) -> Event | None:
        is_it = isinstance(record, Event) and record.event == name
        if not is_it or not isinstance(record, Event):
            return None
        return record if all(c.holds(record.data.data) for c in conditions) else None

    what = " ".join([f"event {name}", *map(str, conditions)])
    try:
        event = await peer.session.wait(what, select, since=since, timeout_s=timeout_s)
    except RecordTimeoutError as error:
        step.missed()
        raise LabError(
            "lab-not-seen",
            f"{peer.name} printed no {what} within {timeout_s:g} s",
            "`history` shows what it printed",
            last=_last(peer, name),
        ) from error
    except PeerExitedError as error:
        step.missed()
        raise LabError("lab-peer-ended", str(error), last=_last(peer, name)) from error
    step.held()
    return {"peer": peer.name, "event": name, "data": event.data.data, "seq": event.seq}


def _last(peer: Peer, name: str) -> list[Any]:
    """The last events of this name, or of any where there is none."""
    events = [record for record in peer.session.records if isinstance(record, Event)]
    named = [event for event in events if event.event == name]
    return [json.loads(event.line) for event in (named or events)[-SHOWN_EVENTS:]]
