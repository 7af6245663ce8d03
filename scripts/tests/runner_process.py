"""The runner in a process of its own, with scenarios that a test writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import FAKE_PEER

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = Path(__file__).parents[1]

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lanspread_harness import cli
cli.SCENARIOS = Path(sys.argv[2])
sys.exit(cli.main(sys.argv[3:]))
"""

PASSES = '''
"""A peer starts and ends."""

async def scenario(lab):
    await (await lab.peer("alpha")).command("echo")
'''

FAILS = '''
"""Two and two is five."""

from lanspread_harness import expect

async def scenario(lab):
    await lab.peer("alpha")
    expect(False, "two and two is five")
'''


def runner_command(place: Path, scenarios: Mapping[str, str], *arguments: str) -> list[str]:
    """What runs these scenarios: texts by the part of their names after `s01_`, `s02_` …."""
    directory = place / "scenarios"
    directory.mkdir(parents=True, exist_ok=True)
    for number, (name, text) in enumerate(scenarios.items(), start=1):
        (directory / f"s{number:02}_{name}.py").write_text(text.lstrip())
    command = [sys.executable, "-c", PROGRAM, str(SCRIPTS), str(directory)]
    given = [] if "--binary" in arguments else ["--binary", str(FAKE_PEER)]
    return [*command, *given, "--out", str(place / "out"), *arguments]


def run_runner(
    place: Path,
    scenarios: Mapping[str, str],
    *arguments: str,
    **options: Any,  # noqa: ANN401
) -> subprocess.CompletedProcess[str]:
    """Run them to the end. `options` are those of `subprocess.run`."""
    given: dict[str, Any] = {
        "cwd": place,
        "env": os.environ,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        **options,
    }
    return subprocess.run(runner_command(place, scenarios, *arguments), check=False, **given)


def states(ran: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What became of each scenario, by label, as `--json` told it."""
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    return {e["label"]: e["state"] for e in events if e["event"] == "scenario-finished"}


def failures(ran: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Of each scenario that failed, what `--json` told."""
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    return {e["label"]: e["failure"] for e in events if e.get("failure")}
