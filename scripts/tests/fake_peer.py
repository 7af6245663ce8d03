#!/usr/bin/env python3
"""A peer that only talks: speaks the JSONL of `lanspread-peer-cli` with nothing behind it.

Its `--name` chooses how it misbehaves; any other name is a well-behaved peer. `echo` answers with
an event that carries the parameters, `read` with what is in a file, `silence` never answers, `tell`
prints an event, `log` a line of the log.
"""

import json
import os
import sys
import time
from pathlib import Path

SCHEMA = {
    "record": {
        "type": "object",
        "required": ["type", "seq", "t_us"],
        "properties": {
            "type": {"enum": ["ready", "result", "error", "event"]},
            "event": {"not": {"const": "unknown-event"}},
        },
    },
    "command": {"type": "object", "required": ["id", "cmd"]},
}


class Output:
    """Numbered records on standard output."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.seq = 0

    def put(self, **record: object) -> None:
        self.seq += 1
        now_us = int((time.monotonic() - self.started) * 1e6)
        print(json.dumps({"seq": self.seq, "t_us": now_us, **record}), flush=True)

    def answer(self, name: str, command: dict[str, object]) -> None:
        head = {"id": command["id"], "cmd": command["cmd"]}
        if command["cmd"] == "refuse":
            error = {"code": "no", "message": "never", "retryable": False, "hint": "give up"}
            self.put(type="error", error=error, **head)
        elif command["cmd"] == "read":
            self.put(type="result", data={"text": read(str(command["path"]))}, **head)
        elif command["cmd"] == "lose":
            self.put(type="event", event="peer-lost", data={"peer_id": command["peer_id"]})
            self.put(type="result", data={}, **head)
        elif command["cmd"] in ("tell", "log"):
            if command["cmd"] == "tell":
                self.put(type="event", event=command["event"], data={})
            else:
                print(command["line"], file=sys.stderr)
            self.put(type="result", data={}, **head)
        elif command["cmd"] != "silence":
            self.put(type="event", event="echoed", data=command)
            self.put(type="result", data=command, **head)
            if name == "repeats":
                self.put(type="result", data={}, **head)


def read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return type(error).__name__


def run(name: str) -> None:
    if name == "refuses":
        print("it will not start", file=sys.stderr)
        sys.exit(1)
    output = Output()
    data = {"peer_id": f"id of {name}", "name": name, "listen_addr": "127.0.0.1:9"}
    output.put(type="ready", protocol=1, version="0", data=data)
    if name == "mute":
        os.close(1)
        time.sleep(60)
    for line in sys.stdin:
        if name == "exits":
            os._exit(7)
        if name == "garbage":
            print("this is no JSON", flush=True)
        if name == "skips":
            output.seq += 1
        if name == "invents":
            output.put(type="event", event="unknown-event", data={})
        output.answer(name, json.loads(line))
    if name == "panics":
        print("thread 'main' panicked at src/main.rs", file=sys.stderr)
    if name == "unclean":
        sys.exit(4)
    output.put(type="event", event="stopped", data={})


if sys.argv[1] == "schema":
    print(json.dumps(SCHEMA))
else:
    run(sys.argv[sys.argv.index("--name") + 1])
