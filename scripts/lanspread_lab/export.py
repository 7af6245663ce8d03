"""Writes a session as a test that repeats it: a scenario, or a file for pytest.

What held is an expectation of the test, and so is what did not: an event that was waited for in
vain fails the test in the same place. Questions that changed nothing are left out.
"""

from __future__ import annotations

import json
import keyword
import re
from typing import Any

from lanspread_lab.errors import LabError
from lanspread_lab.values import link_fields, size_bytes

Data = dict[str, Any]

READING = ("status", "schema", "help", "snapshot")
READING_PREFIXES = ("list-", "get-")

COMMAND_TIMEOUT_S = 120
"""Of commands that may wait for a whole operation."""

NEEDS = {
    "cut": "LINKS",
    "isolate": "LINKS",
    "shape": "LINKS",
    "readdress": "LINKS",
    "port-taken": "NAMESPACES",
    "disk-full": "DISKS",
    "unreadable": "PERMISSIONS",
}
"""What a fault asks of a backend; as names of `Need`."""

MODULE = "lanspread_harness"


class Writer:
    """Gathers the lines of a test, and what has to be imported for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.imports: set[str] = {"Lab"}
        self.needs: set[str] = set()
        self._names: dict[str, str] = {}
        self._games: dict[str, str] = {}
        self._published = False

    def name(self, kind: str, text: str) -> str:
        """A variable for a thing, the same for the same thing."""
        key = f"{kind} {text}"
        if key not in self._names:
            plain = re.sub(r"\W", "_", text)
            taken = set(self._names.values()) | {"lab"}
            if keyword.iskeyword(plain) or plain in taken or not plain.isidentifier():
                plain = f"{kind}_{plain}"
            self._names[key] = plain
        return self._names[key]

    def value(self, value: object) -> str:
        """A value as an expression; `@peer` and `@peer.id` are looked up when the test runs."""
        if isinstance(value, str) and value.startswith("@"):
            peer, _, what = value[1:].partition(".")
            return f"{self.name('peer', peer)}.{'peer_id' if what else 'addr'}"
        return literal(value)

    def game(self, step: Data) -> None:
        """`game`: planned before the first peer, published after it."""
        game_id, version = step["id"], step["version"]
        files = ", ".join(f"{literal(path)}: {self._content(step, path)}" for path in step["files"])
        variable = self.name("game", game_id)
        if not self._published and not self._games:
            self.imports.add("Lab")
        if game_id in self._games or self._published or version != "20240131":
            self.imports.add("Game")
            made = f"Game({literal(game_id)}, {{{files}}}, lab.seed, version={literal(version)})"
            variable = self.name("game", f"{game_id}_{version}")
            self.lines.append(f"{variable} = {made}")
            self.lines += [f"await lab.put({variable}, {p})" for p in self._peers(step)]
            self.lines.append(f"await lab.publish({variable})")
        else:
            self.lines.append(f"{variable} = lab.game({literal(game_id)}, {{{files}}})")
        self._games[game_id] = variable

    def peer(self, step: Data) -> None:
        """`peer`, and whom it dials."""
        self._published = True
        variable = self.name("peer", step["name"])
        arguments = [literal(step["name"])]
        if step["games"]:
            games = ", ".join(self._games[game] for game in step["games"])
            arguments.append(f"games=[{games}]")
        arguments += [f"{option}={literal(value)}" for option, value in step["options"].items()]
        if "disk_mib" in step["options"]:
            self.needs.add("DISKS")
        if step["options"].get("mdns"):
            self.needs.add("MDNS")
        self.lines.append(f"{variable} = await lab.peer({', '.join(arguments)})")
        for other in step["connect"]:
            self.lines.append(f"await {variable}.connect({self.name('peer', other)})")

    def command(self, step: Data, outcome: str) -> None:
        """`do`, unless it only asks."""
        cmd = step["cmd"]
        if outcome != "refused" and (cmd in READING or cmd.startswith(READING_PREFIXES)):
            return
        fields = step["fields"]
        arguments = [literal(cmd), f"timeout_s={COMMAND_TIMEOUT_S}"]
        arguments += [f"{name}={self.value(value)}" for name, value in fields.items()]
        line = f"await {self.name('peer', step['peer'])}.command({', '.join(arguments)})"
        if outcome == "refused":
            self.imports.add("expect_error")
            self.lines += [f"with expect_error({literal(step['code'])}):", f"    {line}"]
        else:
            self.lines.append(line)

    def wait(self, step: Data) -> None:
        """`wait`, whether the event came or not."""
        arguments = [literal(step["event"])]
        compared = []
        for name, sign, value in step["where"]:
            if sign == "=" and "." not in name:
                arguments.append(f"{name}={self.value(value)}")
            else:
                found = "".join(f"[{literal(part)}]" for part in name.split("."))
                operator = "==" if sign == "=" else sign
                compared.append(f"data.data{found} {operator} {self.value(value)}")
        if compared:
            arguments.append(f"where=lambda data: {' and '.join(compared)}")
        arguments.append(f"timeout_s={step['timeout_s']:g}")
        self.lines.append(f"await {self.name('peer', step['peer'])}.event({', '.join(arguments)})")

    def fault(self, step: Data) -> None:
        """`fault`."""
        kind, options = step["kind"], step["options"]
        peers = [self.name("peer", peer) for peer in step["peers"]]
        instant = {
            "kill": f"await {peers[0]}.kill()",
            "restart": f"await {peers[0]}.restart()",
            "thaw": f"await {peers[0]}.thaw()",
            "stop": f"{peers[0]}.close_stdin()",
        }
        if kind in instant:
            self.lines.append(instant[kind])
            if kind == "stop":
                self.lines.append(f"await {peers[0]}.exited()")
            return
        if kind in NEEDS:
            self.needs.add(NEEDS[kind])
        variable = self.name("fault", str(step.get("fault", kind)))
        self.lines.append(f"{variable} = await lab.begin({self._fault(kind, peers, options)})")

    def heal(self, step: Data) -> None:
        """`heal`."""
        self.lines.append(f"await {self.name('fault', step['fault'])}.heal()")

    def _peers(self, step: Data) -> list[str]:
        return [self.name("peer", peer) for peer in step.get("at", ())]

    def _content(self, step: Data, path: str) -> str:
        content = step["files"][path]
        if step.get("rar"):
            self.imports |= {"Bytes", "sample_rar"}
            seed = f"{step['id']}/{step['version']}"
            return f"Bytes(sample_rar({literal(step['rar'])}, {literal(seed)}))"
        if step.get("from"):
            self.imports |= {"CopyOf", "Path"}
            return f"CopyOf(Path({literal(step['from'] + '/' + path)}))"
        self.imports.add(content["kind"])
        return f"{content['kind']}({content['size']})"

    def _fault(self, kind: str, peers: list[str], options: Data) -> str:
        root = f"{peers[0]}.games_dir"
        match kind:
            case "cut":
                one_way = ", one_way=True" if options.get("one_way") else ""
                return f"lab.partition({peers[0]}, {peers[1]}{one_way})"
            case "isolate":
                flags = "".join(
                    f", {flag}=True" for flag in ("hears", "is_heard") if options.get(flag)
                )
                return f"lab.isolate({peers[0]}{flags})"
            case "shape":
                return self._shape(peers[0], options)
            case "freeze":
                return f"lab.stopped({peers[0]})"
            case "disk-full":
                free = size_bytes(options.get("free") or "0")
                return f"lab.disk_full({peers[0]}, free_bytes={free})"
            case "flip":
                offset = int(options.get("offset") or 0)
                return f"lab.bit_flip({peers[0]}, {root} / {literal(options['path'])}, {offset})"
            case "unreadable":
                return f"lab.unreadable({peers[0]}, {root} / {literal(options['path'])})"
            case "readdress":
                return f"lab.readdress({peers[0]})"
            case "port-taken":
                return f"lab.port_taken({peers[0]}, {int(options.get('port') or 5353)})"
        raise LabError("lab-internal", f"{kind} cannot be written as a test")

    def _shape(self, peer: str, options: Data) -> str:
        self.imports.add("Link")
        fields = ", ".join(f"{name}={value:g}" for name, value in link_fields(options).items())
        link = f"Link({fields})"
        sides = [side for side in ("outbound", "inbound") if options.get(side)]
        given = ", ".join(f"{side}={link}" for side in sides) or link
        return f"lab.shape({peer}, {given})"


def literal(value: object) -> str:
    """A value of JSON as an expression, with text in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def export(lab: str, session: Data, *, is_scenario: bool) -> str:
    """The text of the test."""
    writer = Writer()
    if session.get("expects"):
        parts = ", ".join(map(literal, session["expects"]))
        writer.lines.append(f"lab.expects({parts})")
    for step in session["steps"]:
        if step["outcome"] == "open":
            continue
        if step["kind"] == "command":
            writer.command(step["detail"], step["outcome"])
        else:
            getattr(writer, step["kind"])(step["detail"])
    if not any("await" in line for line in writer.lines):
        raise LabError("lab-usage", f"nothing was done in the lab {lab} that a test could repeat")
    return _scenario(lab, writer) if is_scenario else _pytest(lab, writer)


def _header(lab: str, writer: Writer, extra: set[str]) -> list[str]:
    names = sorted((writer.imports | extra) - {"Path"}, key=lambda name: (name.islower(), name))
    lines = [f'"""What was seen in the lab {lab}: the same steps, and the same outcome."""', ""]
    if "Path" in writer.imports:
        lines += ["from pathlib import Path", ""]
    one_line = f"from {MODULE} import {', '.join(names)}"
    if len(one_line) <= 100:
        return [*lines, one_line]
    return [*lines, f"from {MODULE} import (", *(f"    {name}," for name in names), ")"]


def _scenario(lab: str, writer: Writer) -> str:
    extra = {"Meta"} | ({"Need"} if writer.needs else set())
    needs = ", ".join(f"Need.{need}" for need in sorted(writer.needs))
    meta = f"timeout_s=180, needs=frozenset({{{needs}}})" if needs else "timeout_s=180"
    lines = [*_header(lab, writer, extra), "", f"META = Meta({meta})", "", ""]
    lines += ["async def scenario(lab: Lab) -> None:", *(f"    {line}" for line in writer.lines)]
    return "\n".join(lines) + "\n"


def _pytest(lab: str, writer: Writer) -> str:
    extra = {"Need"} if writer.needs else set()
    needs = ", ".join(f"Need.{need}" for need in sorted(writer.needs))
    mark = f"timeout_s=180, needs=frozenset({{{needs}}})" if needs else "timeout_s=180"
    header = _header(lab, writer, extra)
    lines = [header[0], "", "import pytest", *header[2:]]
    if "Path" in writer.imports:
        lines = [header[0], "", "from pathlib import Path", "", "import pytest", *header[4:]]
    test = re.sub(r"\W", "_", lab)
    lines += [
        "",
        "",
        f"@pytest.mark.lanspread({mark})",
        f"async def test_{test}(lab: Lab) -> None:",
    ]
    return "\n".join([*lines, *(f"    {line}" for line in writer.lines)]) + "\n"
