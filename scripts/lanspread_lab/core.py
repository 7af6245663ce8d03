"""The core: holds one lab open and answers the calls that reach its socket.

It is started by the guardian. It ends when it is told to `close`, when it has had no call for its
idle time, or by a signal; in each case nothing of its lab is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanspread_harness.backend_factory import check_backend, make_backend
from lanspread_harness.build import find_binary, find_checkout
from lanspread_harness.errors import EnvironmentLackingError, HarnessError, UsageError, error_text
from lanspread_harness.host_locks import SWEEP_LOCK, hold_lock
from lanspread_harness.identity import runner_identity, unique_token
from lanspread_harness.incidents import find_incidents
from lanspread_harness.lab import LabSettings
from lanspread_harness.schema import load_schema
from lanspread_lab.calls import Calls
from lanspread_lab.command_fields import CommandFields
from lanspread_lab.errors import LabError
from lanspread_lab.places import Place, place
from lanspread_lab.steps import Steps, incident_parts
from lanspread_lab.sweep import SWEEP_WAIT_S, sweep
from lanspread_lab.verbs import VERBS
from lanspread_lab.verbs.faults import KINDS
from lanspread_lab.wire import MAX_LINE_BYTES, decode, encode
from lanspread_lab.world import World, open_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from lanspread_harness.backends import Backend, Need
    from lanspread_lab.json_types import JsonValue

Data = dict[str, Any]

ANSWER_MAX_CHARS = 8_000
"""How much of an answer a call gets; the rest is in a file, and a cursor says how to go on."""

OUTPUTS_MAX = 64
"""How many files of long answers are kept."""

MAX_SEED = 2**32

READING = ("history", "look")
"""Verbs that change nothing."""

UNCOUNTED = ("info", "names")
"""What `list` and a prompt ask: a lab that nobody uses otherwise is idle all the same."""

READY = "ready"
"""What the core prints first when it can be called; anything else says why it cannot."""


class Core:
    """One open lab, as verbs see it."""

    def __init__(self, at: Place, world: World, fields: CommandFields, idle_s: float) -> None:
        self.place = at
        self.world = world
        self.fields = fields
        self.calls = Calls()
        self.steps = Steps(at.name, world.backend.name, world.settings.seed)
        self._idle_s = idle_s
        self._busy = 0
        self._called_at = time.monotonic()
        self._closing = asyncio.Event()
        self._outputs = 0

    @property
    def name(self) -> str:
        """What the lab is called."""
        return self.place.name

    def require(self, need: Need) -> None:
        """Raise `LabError` where the backend does not offer something."""
        reason = self.world.backend.unsupported(frozenset({need}))
        if reason is not None:
            raise LabError(
                "lab-unsupported",
                f"the backend {self.world.backend.name} of this lab cannot do this: {reason}",
                "`lanspread-lab open NAME --backend netns` opens one with links of its own",
            )

    def resolve(self, value: JsonValue) -> JsonValue:
        """What `@peer` and `@peer.id` stand for, its address and its id, or the value itself."""
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        name, _, what = value[1:].partition(".")
        if what not in ("", "id"):
            raise LabError("lab-usage", f"{value} is neither @{name} nor @{name}.id")
        return self.world.peer(name).peer_id if what else self.world.running(name).addr

    def symbol(self, value: JsonValue) -> JsonValue:
        """The other way: `@peer` and `@peer.id` for what would be another value the next time."""
        for peer in self.world.lab.peers:
            if peer.was_ready and value in (peer.peer_id, peer.addr):
                return f"@{peer.name}.id" if value == peer.peer_id else f"@{peer.name}"
        return value

    def session(self) -> Data:
        """What was done here, for `export`."""
        incidents = find_incidents(self.world.lab.peers)
        return {"steps": self.steps.as_json(), "expects": incident_parts(incidents)}

    def cursor(self) -> int:
        """Where the history ends now."""
        self.world.history.flush()
        return self.world.history.path.stat().st_size

    def close(self) -> None:
        """Let `serve` return."""
        self._closing.set()

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Answer calls until the lab is to end."""
        self.place.socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(
            self._converse, path=self.place.socket, limit=MAX_LINE_BYTES
        )
        self.place.socket.chmod(0o600)
        try:
            on_ready()
            await self._until_idle()
        finally:
            server.close()
            self.place.socket.unlink(missing_ok=True)
            await self.calls.end()

    async def _until_idle(self) -> None:
        while not self._closing.is_set():
            left_s = self._called_at + self._idle_s - time.monotonic()
            if self._busy or self.calls.go_on():
                left_s = self._idle_s
            elif left_s <= 0:
                print(f"no call for {self._idle_s:g} s", flush=True)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._closing.wait()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._busy += 1
        verb = ""
        try:
            request = decode(await reader.readline())
            verb = str(request.get("verb"))
            gone = asyncio.ensure_future(reader.read(1))
            answering = asyncio.ensure_future(self.answer(request))
            await asyncio.wait([gone, answering], return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not answering.done():
                # Whoever called is dead; what has begun at a peer goes on.
                answering.cancel()
                return
            writer.write(encode(self._bounded(answering.result())))
            await writer.drain()
        except (ValueError, OSError):
            return
        finally:
            self._busy -= 1
            if verb and verb not in UNCOUNTED:
                self._called_at = time.monotonic()
            writer.close()

    async def answer(self, request: Data) -> Data:
        """The answer to one request; never raises but when it is cancelled."""
        verb = str(request.get("verb"))
        arguments = request.get("arguments") or {}
        timeout_s = float(request.get("timeout_s") or 1)
        try:
            return {"data": await self._do(verb, arguments, timeout_s)}
        except LabError as error:
            return {"error": error.as_json()}
        except EnvironmentLackingError as error:
            return {"error": LabError("lab-environment", str(error)).as_json()}
        except OSError as error:
            return {"error": LabError("lab-disk", f"{error.filename}: {error.strerror}").as_json()}
        except HarnessError as error:
            return {"error": LabError("lab-broken-rule", error_text(error)).as_json()}
        except Exception as error:  # noqa: BLE001 - one call must not end the lab
            traceback.print_exc()
            hint = f"{self.place.log} has the traceback"
            return {"error": LabError("lab-internal", repr(error), hint).as_json()}

    async def _do(self, verb: str, arguments: Data, timeout_s: float) -> Data:
        if verb == "close":
            self.close()
            return {"closed": self.name}
        if verb == "info":
            return self._info()
        if verb == "names":
            return self._names()
        if verb == "session":
            return self.session()
        if verb == "wait" and arguments.get("handle"):
            return await self.calls.wait(str(arguments["handle"]), timeout_s)
        work = VERBS.get(verb)
        if work is None:
            raise LabError("lab-usage", f"there is no verb {verb}")
        if verb == "wait":
            # Its time is what is waited for, and no handle is left behind.
            return await work(self, {**arguments, "timeout_s": timeout_s})
        what = " ".join([verb, *_words(arguments)])
        is_reading = verb in READING
        return await self.calls.run(what, work(self, arguments), timeout_s, is_reading=is_reading)

    def _info(self) -> Data:
        return {
            "lab": self.name,
            "backend": self.world.backend.name,
            "seed": self.world.settings.seed,
            "peers": [peer.name for peer in self.world.lab.peers],
            "directory": str(self.place.directory),
        }

    def _names(self) -> Data:
        """What a line can name, for completion."""
        return {
            "peers": [peer.name for peer in self.world.lab.peers],
            "games": list(self.world.games),
            "faults": list(self.world.faults),
            "kinds": list(KINDS),
            "commands": self.fields.commands,
            "events": self.fields.events,
        }

    def _bounded(self, answer: Data) -> Data:
        """An answer that is not too long for who reads it; all of it is in a file then."""
        text = json.dumps(answer, ensure_ascii=False)
        if len(text) <= ANSWER_MAX_CHARS or "data" not in answer:
            return answer
        self.place.outputs.mkdir(exist_ok=True)
        self._outputs += 1
        path = self.place.outputs / f"{self._outputs:05}.json"
        path.write_text(json.dumps(answer["data"], indent=1, ensure_ascii=False), encoding="utf-8")
        (self.place.outputs / f"{self._outputs - OUTPUTS_MAX:05}.json").unlink(missing_ok=True)
        short = shortened(answer["data"], ANSWER_MAX_CHARS)
        return {"data": {**short, "whole": str(path)}}


def shortened(data: Data, max_chars: int) -> Data:
    """The data with their longest lists and texts cut, and how much is left out of each."""
    kept = dict(data)
    left_out: dict[str, int] = {}
    while len(json.dumps(kept, ensure_ascii=False)) > max_chars - 500:
        sizes = {name: len(json.dumps(value)) for name, value in kept.items()}
        name = max(sizes, key=lambda name: sizes[name])
        value = kept[name]
        if isinstance(value, list) and value:
            keep = len(value) // 2
            # The newest stand last, and count most.
            kept[name] = value[len(value) - keep :]
            left_out[name] = left_out.get(name, 0) + len(value) - keep
        elif isinstance(value, dict) and value:
            kept[name] = shortened(value, sizes[name] // 2 + 500)
            if json.dumps(kept[name]) == json.dumps(value):
                kept[name] = "…"
        elif isinstance(value, str) and len(value) > 1:
            kept[name] = value[: len(value) // 2] + "…"
        else:
            kept[name] = "…"
    return {**kept, "left_out": left_out} if left_out else kept


def _words(arguments: Data) -> list[str]:
    words: list[str] = []
    for value in arguments.values():
        words += map(str, value) if isinstance(value, list) else [str(value)] if value else []
    return words


async def run(options: argparse.Namespace) -> None:
    """Open the lab and serve it."""
    at = place(options.name)
    seed = random.randrange(MAX_SEED) if options.seed is None else options.seed
    check_backend(options.backend)
    binary = await asyncio.to_thread(find_binary, options.binary)
    backend = await make_backend(
        options.backend, binary, seed, repository=find_checkout(), build_image=True
    )
    try:
        async with hold_lock(SWEEP_LOCK, wait_s=SWEEP_WAIT_S):
            await sweep(backend)
        await backend.check_directory(at.directory)
        await _serve(at, backend, seed, binary, options.idle)
    finally:
        await backend.close()


async def _serve(at: Place, backend: Backend, seed: int, binary: Path, idle_s: float) -> None:
    schema = load_schema(binary)
    settings = LabSettings(
        lab_id=f"{at.name}-{unique_token()}", seed=seed, directory=at.world, binary=binary
    )
    at.world.mkdir()
    fields = CommandFields(schema.document)
    async with open_world(settings, backend, schema) as world:
        core = Core(at, world, fields, idle_s)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, core.close)
        await core.serve(lambda: print(READY, flush=True))
        session = json.dumps(core.session(), indent=1)
        (at.directory / "session.json").write_text(session, encoding="utf-8")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--idle", type=float, required=True)
    return parser.parse_args(arguments)


def main() -> None:
    """The program of the core."""
    options = _parse(sys.argv[1:])
    os.umask(0o077)
    info = {"owner": runner_identity(), "backend": options.backend, "pid": os.getpid()}
    place(options.name).info.write_text(json.dumps(info), encoding="utf-8")
    try:
        asyncio.run(run(options))
    except (LabError, UsageError, EnvironmentLackingError) as error:
        code = error.code if isinstance(error, LabError) else "lab-environment"
        print(json.dumps(LabError(code, str(error)).as_json()), flush=True)
        sys.exit(1)
    except HarnessError as error:
        print(json.dumps(LabError("lab-environment", error_text(error)).as_json()), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
