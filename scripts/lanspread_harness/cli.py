"""The command line of the runner: `run_extended_scenarios.py`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.backends.docker import DockerBackend
from lanspread_harness.backends.netns import NetnsBackend, check_namespaces
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.build import build_binary, require_image
from lanspread_harness.errors import EnvironmentLackingError, HarnessError, UsageError
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.reports import counts, finished_lines, table, write_junit
from lanspread_harness.run_directory import run_directory
from lanspread_harness.runner import Outcome, Runner, RunSettings, State
from lanspread_harness.scenario import Scenario, discover, select
from lanspread_harness.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_harness.backends import Backend
    from lanspread_harness.schema import Schema

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = REPOSITORY / "scenarios"
SCRIPT = "scripts/run_extended_scenarios.py"

MIN_JOBS = 2
"""Scenarios wait more than they compute, so even one core runs two of them."""

MAX_SEED = 2**32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        scenarios = select(discover(SCENARIOS), options.scenarios)
        if options.list:
            for scenario in scenarios:
                print(f"{scenario.id:<4} {scenario.promise}")
            sys.stdout.flush()
            return EXIT_PASSED
        return asyncio.run(_run_until_interrupted(scenarios, options))
    except BrokenPipeError:
        # Whoever reads has seen enough, such as `head`; the interpreter must not try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PASSED
    except UsageError as error:
        print(f"usage: {error}", file=sys.stderr)
        return EXIT_USAGE
    except EnvironmentLackingError as error:
        print(f"environment: {error}", file=sys.stderr)
        return EXIT_ENVIRONMENT
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=SCRIPT,
        description="Start many peers, break things on purpose, and prove what holds.",
        epilog="exit status: 0 all passed, 1 some failed, 2 bad usage, 3 the environment lacks "
        "something",
    )
    parser.add_argument("scenarios", nargs="*", metavar="S22", help="scenarios to run; all if none")
    parser.add_argument(
        "--backend",
        choices=("auto", "process", "netns", "docker"),
        default="auto",
        help="where peers run; auto is process, which needs nothing but this machine",
    )
    parser.add_argument(
        "--build-image", action="store_true", help="build the docker image if it is not current"
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=max(MIN_JOBS, os.cpu_count() or 1),
        metavar="N",
        help="scenarios at a time (default: number of cores, at least 2)",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--seed", type=int, metavar="N", help="decides every random choice")
    parser.add_argument(
        "--keep", action="store_true", help="keep artefacts and the peers' disks of all scenarios"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="where artefacts go"
    )
    parser.add_argument(
        "--fail-fast", action="store_true", help="begin no scenario after the first failure"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


async def _run_until_interrupted(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    """Run, and turn SIGINT and SIGTERM into a cancellation that every lab cleans up after."""
    run = asyncio.ensure_future(_run(scenarios, options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.cancel)
    try:
        return await run
    except asyncio.CancelledError:
        print("interrupted; all peers are gone", file=sys.stderr)
        return EXIT_INTERRUPTED


async def _run(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    seed = random.randrange(MAX_SEED) if options.seed is None else options.seed
    if options.backend == "netns":
        check_namespaces()
    binary = await asyncio.to_thread(build_binary, REPOSITORY)
    backend = await _backend(options, binary, seed)
    await sweep_disks()
    run_id = f"{time.strftime('%m%d-%H%M%S')}-{os.getpid()}"
    with run_directory(options.out.resolve(), run_id) as directory:
        settings = RunSettings(
            run_id=run_id,
            directory=directory,
            seed=seed,
            jobs=options.jobs,
            keep=options.keep,
            fail_fast=options.fail_fast,
            binary=binary,
            repository=REPOSITORY,
            command=_command(backend, seed),
        )
        return await _run_scenarios(scenarios, settings, backend, load_schema(binary))


async def _run_scenarios(
    scenarios: Sequence[Scenario], settings: RunSettings, backend: Backend, schema: Schema
) -> int:
    print(
        f"{len(scenarios)} scenario{'s' * (len(scenarios) != 1)} on {backend.name}, "
        f"{settings.jobs} at a time, seed {settings.seed}",
        flush=True,
    )
    started = time.monotonic()
    try:
        await backend.sweep()
        outcomes = await Runner(settings, backend, schema, _show).run(scenarios)
    finally:
        await backend.sweep()
        await sweep_disks()
    junit = settings.directory / "junit.xml"
    write_junit(junit, outcomes)
    print("", *table(outcomes), "", sep="\n")
    print(f"junit  {_shown(junit)}")
    print(f"took   {time.monotonic() - started:.1f} s")
    print(counts(outcomes), flush=True)
    failed = any(outcome.state is State.FAILED for outcome in outcomes)
    return EXIT_FAILED if failed else EXIT_PASSED


async def _backend(options: argparse.Namespace, binary: Path, seed: int) -> Backend:
    if options.backend == "docker":
        await require_image(REPOSITORY, binary, build=options.build_image)
        return DockerBackend(seed)
    if options.backend == "netns":
        return NetnsBackend(binary, seed)
    return ProcessBackend(binary)


def _command(backend: Backend, seed: int) -> tuple[str, ...]:
    command = ["python3", SCRIPT, "--backend", backend.name, "--seed", str(seed)]
    return (*command, "--build-image") if backend.name == "docker" else tuple(command)


def _show(outcome: Outcome) -> None:
    print(*finished_lines(outcome), sep="\n", flush=True)


def _shown(path: Path) -> str:
    """A path as short as it can be pasted here."""
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return shlex.quote(str(shown))
