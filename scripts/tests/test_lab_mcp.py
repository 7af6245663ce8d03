"""The MCP server of labs, driven by the official client."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from lab_calls import LAB, Shell
from mcp import Client, StdioServerParameters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

TOKENS_MAX = 4_000
CHARS_PER_TOKEN = 4
TOOLS_MAX = 10

Session = Any
"""The client; its own type needs more of the packages than the type checker has."""


def in_session(shell: Shell, body: Callable[[Session], Awaitable[None]]) -> None:
    """Start the server as a client does, and talk to it."""

    async def run() -> None:
        server = StdioServerParameters(
            command=sys.executable, args=[str(LAB), "mcp"], env=shell.environment()
        )
        async with Client(server) as client:
            await body(client)

    asyncio.run(run())


async def answer(client: Session, tool: str, **arguments: object) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.structured_content
    assert result.content == []
    data: dict[str, Any] = result.structured_content
    return data


async def error(client: Session, tool: str, **arguments: object) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    data: dict[str, Any] = result.structured_content["error"]
    return data


def test_the_tools_are_few_and_short(shell: Shell) -> None:
    async def body(client: Session) -> None:
        listed = await client.list_tools()
        assert len(listed.tools) <= TOOLS_MAX
        text = listed.model_dump_json(by_alias=True, exclude_none=True)
        assert len(text) / CHARS_PER_TOKEN <= TOKENS_MAX
        assert "$ref" not in text
        hints = {tool.name: tool.annotations for tool in listed.tools}
        assert hints["look"].read_only_hint
        assert hints["fault"].destructive_hint
        assert not hints["peer_start"].destructive_hint

    in_session(shell, body)


def test_a_session_of_an_agent(shell: Shell) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async def body(client: Session) -> None:
        await answer(client, "lab_open", lab="demo", seed=3)
        await answer(client, "lab_game", lab="demo", game="quake", files=["quake.eti=24MiB"])
        await answer(
            client, "peer_start", lab="demo", peer="alpha", games=["quake"], upload_limit="8MiB"
        )
        await answer(client, "peer_start", lab="demo", peer="bravo")
        command = {"lab": "demo", "peer": "bravo", "cmd": "download"}
        fields = {"game_id": "quake", "wait": True}
        done = await client.call_tool(
            "peer_command", {**command, "fields": fields}, progress_callback=on_progress
        )
        assert done.structured_content["data"]["bytes"] == 24 * 1024 * 1024
        assert [step[0] for step in seen] == sorted(step[0] for step in seen)
        assert any("bytes" in (message or "") for _, _, message in seen), seen
        fault = await answer(client, "fault", lab="demo", kind="freeze", peers=["alpha"])
        picture = await answer(client, "look", lab="demo")
        assert picture["faults"] == [fault]
        await answer(client, "fault", lab="demo", kind="heal", fault=fault["id"])
        event = {"lab": "demo", "peer": "bravo", "event": "download-finished"}
        await answer(client, "wait", **event, where=["bytes>=1000"])
        history = await answer(client, "history", lab="demo", event="download-finished")
        assert len(history["entries"]) == 1
        await answer(client, "lab_close", lab="demo")

    in_session(shell, body)
    assert shell.do("list") == {"labs": []}


def test_errors_say_what_would_help(shell: Shell) -> None:
    async def body(client: Session) -> None:
        assert (await error(client, "look", lab="none"))["code"] == "lab-not-open"
        assert (await error(client, "dance"))["code"] == "lab-usage"
        assert "lab" in (await error(client, "look"))["message"]
        assert "its fields are" in (await error(client, "look", lab="a", x=1))["hint"]
        assert (await error(client, "wait", lab="none"))["code"] == "lab-usage"

    in_session(shell, body)


def test_a_cancelled_call_leaves_the_lab_as_it_is(shell: Shell) -> None:
    async def body(client: Session) -> None:
        await answer(client, "lab_open", lab="demo")
        await answer(client, "lab_game", lab="demo", game="quake")
        await answer(client, "peer_start", lab="demo", peer="alpha", games=["quake"])
        event = {"lab": "demo", "peer": "alpha", "event": "download-finished"}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.call_tool("wait", event)
        assert (await answer(client, "look", lab="demo"))["calls"] == []
        await answer(client, "lab_close", lab="demo")

    in_session(shell, body)


def test_a_server_without_its_package_says_so(tmp_path: Path) -> None:
    """As after `pip install lanspread-harness` without the extra."""
    from lanspread_lab import cli

    hidden = tmp_path / "mcp.py"
    hidden.write_text("raise ModuleNotFoundError(name='mcp')")
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("mcp")}
    sys.modules.pop("lanspread_lab.mcp_server", None)
    sys.path.insert(0, str(tmp_path))
    try:
        assert cli.main(["mcp", "--json"]) == 3
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.update(loaded)


def test_the_prompt_completes_what_there_is() -> None:
    from lanspread_lab.attach import candidates

    names = {
        "peers": ["alpha", "bravo"],
        "games": ["quake"],
        "faults": ["f1"],
        "kinds": ["freeze"],
        "commands": {"download": ["cmd", "game_id", "wait"]},
        "events": ["download-finished"],
    }
    assert candidates(["do"], names) == ["alpha", "bravo"]
    assert candidates(["do", "alpha"], names) == ["download"]
    assert candidates(["do", "alpha", "download"], names) == ["game_id=", "wait="]
    assert candidates(["wait", "alpha"], names) == ["download-finished"]
    assert candidates(["fault"], names) == ["freeze"]
    assert candidates(["fault", "freeze"], names) == ["alpha", "bravo"]
    assert candidates(["heal"], names) == ["all", "f1"]
    assert json.dumps(candidates(["peer", "x", "--game"], names)) == '["quake"]'
