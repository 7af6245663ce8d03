"""`look` and `history`: how things are, and what happened."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

from lanspread_harness.errors import ScenarioError
from lanspread_harness.incidents import find_incidents
from lanspread_harness.records import Event, Failure
from lanspread_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

    from lanspread_harness.client import Peer
    from lanspread_harness.fields import Fields
    from lanspread_lab.core import Core

Data = dict[str, Any]

LOOKS = itertools.count(1)

LOOK_TIMEOUT_S = 3.0
"""A peer that runs answers in milliseconds; of one that does not, the picture says so."""

HISTORY_MAX = 50
"""How many entries are shown unless a call asks for another number."""

TROUBLES_SHOWN = 20

OWN_COMMAND = "look-"
"""How the ids of commands begin that `look` itself gives to peers; the history leaves them out."""

NOISE = ("-progress",)
"""Events that say little each; they are shown to who asks for them by name."""


async def look(core: Core, arguments: Data) -> Data:
    """Everything at one glance: peers, games, operations, faults."""
    world = core.world
    game_id = arguments.get("game")
    if game_id:
        world.game(str(game_id))
    chosen = [world.peer(str(arguments["peer"]))] if arguments.get("peer") else world.lab.peers
    names = {peer.peer_id: peer.name for peer in world.lab.peers if peer.was_ready}
    peers = await asyncio.gather(*(_peer(peer, names, game_id) for peer in chosen))
    games = [
        {"game": game.id, "version": game.version, "bytes": game.size}
        for game in world.games.values()
        if game_id in (None, game.id)
    ]
    picture: Data = {"lab": core.name, "backend": world.backend.name, "peers": list(peers)}
    picture["games"] = games
    picture["faults"] = [fault.as_json() for fault in world.faults.values()]
    picture["calls"] = core.calls.as_json()
    picture["troubles"] = [*world.troubles, *find_incidents(chosen)][-TROUBLES_SHOWN:]
    picture["cursor"] = core.cursor()
    return picture


async def _peer(peer: Peer, names: dict[str, str], game_id: str | None) -> Data:
    state = "frozen" if peer.frozen else "running" if peer.running else "down"
    told: Data = {"peer": peer.name, "state": state}
    if state == "down" and peer.started and peer.session.status is not None:
        told["ended"] = str(peer.session.status)
    if state != "running":
        return told
    try:
        status = await _ask(peer, "status")
        peers = await _ask(peer, "list-peers")
        games = await _ask(peer, "list-games")
    except ScenarioError as error:
        return {**told, "state": "silent", "why": str(error)}
    told["addr"] = peer.addr
    told["sees"] = [
        names.get(other.text("peer_id"), other.text("name")) for other in peers.children("peers")
    ]
    listed = [g for g in games.children("games") if game_id in (None, g.text("id"))]
    told["games"] = {g.text("id"): _game(g) for g in listed}
    told["operations"] = [_operation(peer, op) for op in status.children("active_operations")]
    told["sends"] = status.items("outbound_transfers")
    return told


async def _ask(peer: Peer, cmd: str) -> Fields:
    command_id = f"{OWN_COMMAND}{next(LOOKS)}"
    record = await peer.session.terminal(cmd, {}, LOOK_TIMEOUT_S, command_id)
    if isinstance(record, Failure):
        raise ScenarioError(f"{peer.name} answers {cmd}", [record.message])
    return record.data


def _game(game: Fields) -> str:
    """What a peer has of a game, in a few words."""
    words = []
    version = game.optional_text("version")
    if game.flag("downloaded"):
        words.append(f"downloaded {version}" if version else "downloaded")
    if game.flag("installed"):
        words.append("installed")
    if game.optional_integer("partial_bytes"):
        words.append(f"partial {game.optional_integer('partial_bytes')}")
    availability = game.optional_text("availability")
    if availability and game.flag("downloaded"):
        words.append("shared" if availability == "ready" else availability.replace("_", " "))
    if game.items("problems"):
        words.append("not whole")
    if game.integer("peer_count"):
        words.append(f"at {game.integer('peer_count')} others")
    return ", ".join(words) or "nothing"


def _operation(peer: Peer, operation: Fields) -> Data:
    """An operation with the last progress that the peer told of it."""
    told: Data = dict(operation.data)
    game_id = operation.data.get("game_id")
    for record in reversed(peer.session.records):
        if not isinstance(record, Event) or not record.event.endswith(NOISE):
            continue
        if record.data.data.get("game_id") == game_id:
            told["progress"] = record.data.data
            break
    return told


async def history(core: Core, arguments: Data) -> Data:
    """What happened since a cursor, or last."""
    core.world.history.flush()
    return await asyncio.to_thread(read_history, core.world.history.path, arguments)


def read_history(path: Path, arguments: Data) -> Data:
    """Entries of a history: those after the cursor `since`, else the last ones.

    A cursor is an offset in the file.
    """
    limit = int(arguments.get("limit") or HISTORY_MAX)
    if limit < 1:
        raise LabError("lab-usage", "--limit is 1 or more")
    size = path.stat().st_size
    since = arguments.get("since")
    start = 0 if since is None else int(since)
    if not 0 <= start <= size:
        raise LabError("lab-usage", f"{start} is no cursor of this lab", f"the newest is {size}")
    entries: list[Data] = []
    cursor = start
    is_whole = True
    with path.open("rb") as file:
        file.seek(start)
        while line := file.readline():
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            if _is_wanted(entry, arguments):
                if since is not None and len(entries) == limit:
                    is_whole = False
                    break
                entries.append(_shown(entry))
            cursor += len(line)
    left_out = max(0, len(entries) - limit)
    answer: Data = {"entries": entries[left_out:], "cursor": cursor}
    if left_out or not is_whole:
        answer["more"] = True
    return answer


def _is_wanted(entry: Data, arguments: Data) -> bool:
    peer, event = arguments.get("peer"), arguments.get("event")
    if peer and peer not in (entry.get("peer"), *entry.get("peers", ())):
        return False
    record = entry.get("record", {})
    if str(record.get("id", entry.get("command", {}).get("id", ""))).startswith(OWN_COMMAND):
        return False
    if event:
        return bool(record.get("event") == event)
    return not str(record.get("event", "")).endswith(NOISE)


def _shown(entry: Data) -> Data:
    """An entry, short: seconds, the peer, and what happened."""
    told: Data = {"t_s": round(entry["t_us"] / 1e6, 3)}
    for name in ("peer", "peers"):
        if name in entry:
            told[name] = entry[name]
    record = entry.get("record")
    if record is None:
        kept = ("kind", "command", "fault", "phase", "detail", "status", "text", "expectation")
        return {**told, **{name: entry[name] for name in kept if name in entry}}
    told["kind"] = record["type"]
    if record["type"] == "event":
        return {**told, "event": record["event"], "data": record["data"]}
    if record["type"] == "error":
        return {**told, "cmd": record.get("cmd"), "error": record["error"]}
    return {**told, "cmd": record.get("cmd"), "data": record.get("data")}
