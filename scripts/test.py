#!/usr/bin/env python3
"""Every check of the project in one command: `python3 scripts/test.py [STEP …] [--fix]`.

Goes on after a failure, and ends with a summary whose last line is `N passed, N failed` over all
tests and checks. What it needs beyond Python and Rust it installs into `.venv`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import REPOSITORY, enter_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

WHAT = {
    "rustfmt": "whether Rust is formatted",
    "ruff-format": "whether Python is formatted",
    "ruff": "lints of Python",
    "mypy": "types of Python",
    "pytest": "tests of the harness and the scripts",
    "failpoints": "whether a release build is free of crash points",
    "deny": "licences and sources of crates, with cargo-deny",
    "clippy": "lints of Rust",
    "tests": "tests of the crates",
    "doctests": "examples in the documentation of the crates",
    "scenarios-process": "scenarios with peers as processes",
    "scenarios-netns": "scenarios with peers in network namespaces",
    "scenarios-docker": "scenarios with peers in containers",
}
"""What each step checks, cheapest first."""

RUNNER = "scripts/run_extended_scenarios.py"

PASSED = re.compile(r"(\d+) passed")
FAILED = re.compile(r"(\d+) (?:failed|timed out)")
SUMMARY = re.compile(r"^(?:\s*Summary \[|test result: |\d+ (?:passed|failed)\b)")
"""The lines with counts of nextest, of cargo, and of pytest and the scenario runner."""


@dataclass(frozen=True, slots=True)
class Step:
    """One check: a command, and what it does instead with `--fix`."""

    name: str
    command: tuple[str, ...]
    fix: tuple[str, ...] | None = None
    counts: bool = False
    """Whether it is many tests and tells how many, or one check."""
    skip: str | None = None
    """Why it cannot run here."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a step."""

    step: Step
    passed: int
    failed: int
    duration_s: float


def main() -> int:
    """Run the steps that the arguments name, or all."""
    options = arguments()
    steps = {step.name: step for step in all_steps()}
    chosen = [steps[name] for name in options.steps] or list(steps.values())
    tallies = [run(step, fix=options.fix) for step in chosen]
    return summarise(tallies)


def arguments() -> argparse.Namespace:
    """The arguments; ends the process where they are wrong, or ask for help."""
    width = max(map(len, WHAT))
    lines = [f"  {name:<{width}}  {what}" for name, what in WHAT.items()]
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n".join(["steps:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help="steps to run; all if none")
    parser.add_argument("--fix", action="store_true", help="let formatters and linters rewrite")
    options = parser.parse_args()
    unknown = [name for name in options.steps if name not in WHAT]
    if unknown:
        parser.error(f"there is no step {', '.join(unknown)}; steps are {', '.join(WHAT)}")
    return options


def all_steps() -> list[Step]:
    """Every step, cheapest first."""
    python = sys.executable
    ruff, mypy, pytest = (f"{Path(python).parent}/{name}" for name in ("ruff", "mypy", "pytest"))
    cargo_test: tuple[str, ...] = ("cargo", "test", "--all-targets")
    if shutil.which("cargo-nextest") is not None:
        cargo_test = ("cargo", "nextest", "run", "--color", "never", "--no-fail-fast")
        cargo_test = (*cargo_test, "--no-tests", "pass")
    # Advisories change by themselves and need the network: `cargo deny check` looks at them too.
    deny = ("cargo", "deny", "check", "bans", "licenses", "sources")
    no_deny = None if shutil.which("cargo-deny") else "cargo-deny is not installed"
    clippy = ("cargo", "clippy", "--workspace", "--all-targets", "--locked")
    return [
        Step("rustfmt", ("cargo", "fmt", "--all", "--check"), ("cargo", "fmt", "--all")),
        Step("ruff-format", (ruff, "format", "--check", "."), (ruff, "format", ".")),
        Step("ruff", (ruff, "check", "."), (ruff, "check", "--fix", ".")),
        Step("mypy", (mypy,)),
        Step("pytest", (pytest,), counts=True),
        Step("failpoints", (python, "scripts/failpoints.py")),
        Step("deny", deny, skip=no_deny),
        Step("clippy", (*clippy, "--", "-D", "warnings")),
        Step("tests", (*cargo_test, "--workspace", "--locked"), counts=True),
        Step("doctests", ("cargo", "test", "--doc", "--workspace", "--locked"), counts=True),
        Step("scenarios-process", (python, RUNNER, "--backend", "process"), counts=True),
        Step(
            "scenarios-netns",
            (python, RUNNER, "--backend", "netns"),
            counts=True,
            skip=lacking_namespaces(),
        ),
        Step(
            "scenarios-docker",
            (python, RUNNER, "--backend", "docker", "--build-image"),
            counts=True,
            skip=lacking_engine(),
        ),
    ]


def lacking_namespaces() -> str | None:
    """Why no network namespaces can be made here, or `None` when they can."""
    from lanspread_harness.backends.netns import check_namespaces
    from lanspread_harness.errors import EnvironmentLackingError

    try:
        check_namespaces(enter=True)
    except EnvironmentLackingError as error:
        return str(error)
    return None


def lacking_engine() -> str | None:
    """Why there is no docker engine, or `None` when one answers."""
    if shutil.which("docker") is None:
        return "the docker command is not installed"
    answer = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return None if answer.returncode == 0 else "no docker engine answers"


def run(step: Step, *, fix: bool) -> Tally:
    """Run one step, showing its output as it comes."""
    print(f"\n== {step.name}", flush=True)
    if step.skip is not None:
        print(f"skipped: {step.skip}")
        return Tally(step, 0, 0, 0)
    command = step.fix if fix and step.fix is not None else step.command
    started = time.monotonic()
    lines: list[str] = []
    try:
        with subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
        succeeded = process.returncode == 0
    except OSError as error:
        print(f"{command[0]} cannot be started: {error}")
        succeeded = False
    passed, failed = count(lines) if step.counts else (int(succeeded), 0)
    if not succeeded:
        failed = max(failed, 1)
    return Tally(step, passed, failed, time.monotonic() - started)


def count(lines: Sequence[str]) -> tuple[int, int]:
    """How many tests passed and failed, by the summaries of the tools."""
    summaries = [line for line in lines if SUMMARY.match(line)]
    passed, failed = (
        sum(int(number) for line in summaries for number in pattern.findall(line))
        for pattern in (PASSED, FAILED)
    )
    return passed, failed


def summarise(tallies: Sequence[Tally]) -> int:
    """Print a line for each step and the sum, and return the exit status."""
    print()
    for tally in tallies:
        state = "FAIL" if tally.failed else "skip" if tally.step.skip else "ok"
        numbers = f"{tally.passed:>5} passed {tally.failed:>3} failed"
        note = f"  ({tally.step.skip})" if tally.step.skip else ""
        print(f"{state:<5}{tally.step.name:<18}{numbers} {tally.duration_s:7.1f} s{note}")
    failed = sum(tally.failed for tally in tallies)
    print(f"{sum(tally.passed for tally in tallies)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    enter_environment("dev", check=arguments)
    from lanspread_harness.output import run_program

    sys.exit(run_program(main))
