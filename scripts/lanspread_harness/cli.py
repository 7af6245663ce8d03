"""The command line of the runner: `run_extended_scenarios.py`.

It turns arguments into jobs, sweeps what dead runners left, starts a `Runner`, writes `junit.xml`
and `report.html`, and maps what happened to an exit status. Signals end the run in good order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.backend_factory import BACKENDS, check_backend, make_backend
from lanspread_harness.backends import user_namespace
from lanspread_harness.backends.netns import check_namespaces
from lanspread_harness.build import build_binary, find_binary
from lanspread_harness.durations import read_durations, write_durations
from lanspread_harness.errors import (
    EnvironmentLackingError,
    HarnessError,
    UsageError,
    error_text,
)
from lanspread_harness.evidence import REPORT
from lanspread_harness.faults.disks import sweep_disks
from lanspread_harness.faults.exfat import sweep_exfat
from lanspread_harness.host_locks import SWEEP_LOCK, SWEEP_WAIT_S, hold_lock
from lanspread_harness.host_resources import read_host_budget
from lanspread_harness.identity import unique_token
from lanspread_harness.orphan_cleanup import kill_orphans
from lanspread_harness.output import lasting_output, print_stderr
from lanspread_harness.progress import Plan, Summary, make_display
from lanspread_harness.run_directory import run_directory
from lanspread_harness.run_summary import longest_passed_s, write_junit, write_report
from lanspread_harness.runner import Runner, RunSettings, State
from lanspread_harness.scenario import Scenario, discover, select
from lanspread_harness.schedule import Shard, jobs_of, of_shard
from lanspread_harness.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lanspread_harness.backends import Backend
    from lanspread_harness.output import Output
    from lanspread_harness.progress import Display
    from lanspread_harness.runner import Outcome

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = REPOSITORY / "scenarios"
SCRIPT = "scripts/run_extended_scenarios.py"

JUNIT = "junit.xml"

LONG_MINUTES = 10.0
MAX_LONG_MINUTES = 24 * 60.0

MAX_SEED = 2**32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for and return the exit status."""
    with lasting_output() as output:
        return _main(arguments, output)


def _main(arguments: Sequence[str] | None, output: Output) -> int:
    options = _parser().parse_args(arguments)
    try:
        # A list of a shard is what the shard would run.
        show_long = options.long or (options.list and options.shard is None)
        scenarios = select(discover(SCENARIOS), options.scenarios, long=show_long)
        if options.shard is not None:
            scenarios = of_shard(scenarios, options.shard)
        if options.list:
            _list(scenarios, json_lines=options.json)
            return EXIT_FAILED if output.is_unwritten else EXIT_PASSED
        if options.backend == "netns" and user_namespace.is_needed():
            _enter_user_namespace(options)
        return asyncio.run(_run_until_interrupted(scenarios, options))
    except UsageError as error:
        print_stderr(f"usage: {error}")
        return EXIT_USAGE
    except EnvironmentLackingError as error:
        print_stderr(f"environment: {error}")
        return EXIT_ENVIRONMENT
    except HarnessError as error:
        print_stderr(f"error: {error}")
        return EXIT_FAILED


def check_usage(arguments: Sequence[str] | None = None) -> int | None:
    """Look at the arguments alone; the exit status where they are wrong. Help ends the process."""
    options = _parser().parse_args(arguments)
    try:
        select(discover(SCENARIOS), options.scenarios, long=True)
    except UsageError as error:
        print(f"usage: {error}", file=sys.stderr)
        return EXIT_USAGE
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=SCRIPT,
        description="Start many peers, break things on purpose, and prove what holds.",
        epilog="exit status: 0 all passed, 1 some failed, 2 bad usage, 3 the environment lacks "
        "something, 130 interrupted",
    )
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="S22",
        help="scenarios to run; all but the long ones if none",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="where peers run; auto is process, which needs nothing but this machine",
    )
    parser.add_argument(
        "--build-image", action="store_true", help="build the docker image if it is not current"
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="most scenarios at a time (default: as many as cores and memory allow)",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="only the Ith of N parts, which take about equally long",
    )
    parser.add_argument(
        "--repeat",
        type=_positive,
        default=1,
        metavar="N",
        help="run each scenario N times, each with a seed of its own, to find flaky ones",
    )
    parser.add_argument("--long", action="store_true", help="run the long scenarios as well")
    parser.add_argument(
        "--long-minutes",
        type=_minutes,
        default=LONG_MINUTES,
        metavar="N",
        help=f"how long a long scenario goes on (default: {LONG_MINUTES:g})",
    )
    parser.add_argument(
        "--hostile",
        action="store_true",
        help="attack the peers of S54 all the while, and see that they stay as they are",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a line for each change of state"
    )
    parser.add_argument(
        "--binary", type=Path, metavar="PATH", help="test this lanspread-peer-cli; none is built"
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


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= MAX_LONG_MINUTES:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {MAX_LONG_MINUTES:g}")
    return minutes


def _shard(text: str) -> Shard:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError("must be I/N with I from 1 to N, such as 2/3")
    return Shard(int(index), int(count))


def _list(scenarios: Sequence[Scenario], *, json_lines: bool) -> None:
    for scenario in scenarios:
        meta = scenario.meta
        entry = {
            "scenario": scenario.id,
            "promise": scenario.promise,
            "needs": sorted(meta.needs),
            "expected_s": meta.expected_s,
            "long": meta.long,
        }
        long = " (long)" * meta.long
        print(json.dumps(entry) if json_lines else f"{scenario.id:<4} {scenario.promise}{long}")
    sys.stdout.flush()


def _enter_user_namespace(options: argparse.Namespace) -> None:
    """Begin anew where this user has the rights that the backend takes."""
    check_namespaces(enter=True)
    # In there cargo could fetch nothing, and what former runners left inside is out of sight.
    _binary(options.binary)
    kill_orphans()
    user_namespace.enter()


async def _run_until_interrupted(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    """Run, and turn what ends a program into a cancellation that every lab cleans up after."""
    run = asyncio.ensure_future(_run(scenarios, options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Who ignores a signal, such as `nohup` does, wants the run to go on.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, interruption(run))
    try:
        return await run
    except asyncio.CancelledError:
        print_stderr("interrupted; all peers are gone")
        return EXIT_INTERRUPTED


def interruption(run: asyncio.Future[int]) -> Callable[[], None]:
    """What a signal does: the first one ends the run, and no other disturbs its end."""
    signals = 0

    def interrupt() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            run.cancel()
        else:
            print_stderr(
                "the run is ending; SIGQUIT ends it at once, and the next one removes what is left"
            )

    return interrupt


async def _run(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    seed = random.randrange(MAX_SEED) if options.seed is None else options.seed
    check_backend(options.backend)
    binary = await asyncio.to_thread(_binary, options.binary)
    backend = await make_backend(
        options.backend, binary, seed, repository=REPOSITORY, build_image=options.build_image
    )
    try:
        return await _run_on(backend, binary, seed, scenarios, options)
    finally:
        await backend.close()


async def _run_on(
    backend: Backend,
    binary: Path,
    seed: int,
    scenarios: Sequence[Scenario],
    options: argparse.Namespace,
) -> int:
    run_id = f"{time.strftime('%m%d-%H%M%S')}-{unique_token()}"
    out = options.out.resolve()
    async with hold_lock(SWEEP_LOCK, wait_s=SWEEP_WAIT_S):
        # Peers go before their disks do.
        await asyncio.to_thread(kill_orphans)
        await backend.sweep()
        await sweep_exfat()
        await sweep_disks()
    with run_directory(out, run_id) as directory:
        settings = RunSettings(
            run_id=run_id,
            directory=directory,
            budget=read_host_budget(options.jobs),
            keep=options.keep,
            fail_fast=options.fail_fast,
            binary=binary,
            repository=REPOSITORY,
            command=_command(backend, options),
            durations_s=read_durations(out, backend.name),
            long_minutes=options.long_minutes,
            is_hostile=options.hostile,
        )
        await backend.check_directory(directory)
        plan = Plan(
            run_id=run_id,
            backend=backend.name,
            seed=seed,
            jobs=jobs_of(scenarios, seed, options.repeat),
            budget=settings.budget,
            shard=options.shard,
            directory=directory,
        )
        display = make_display(json=options.json)
        display.run_started(plan)
        runner = Runner(settings, backend, load_schema(binary), display)
        return await _run_jobs(runner, plan, backend, display)


async def _run_jobs(runner: Runner, plan: Plan, backend: Backend, display: Display) -> int:
    started = time.monotonic()
    interrupted = True
    try:
        async with display.live():
            await runner.run(plan.jobs)
        interrupted = False
    finally:
        outcomes = runner.outcomes(plan.jobs)
        problems = [*await _swept(backend), *_written(plan, outcomes)]
        for problem in problems:
            print_stderr(problem)
        exit_status = EXIT_FAILED if problems else _exit_status(outcomes)
        summary = Summary(
            outcomes=outcomes,
            duration_s=time.monotonic() - started,
            junit=plan.directory / JUNIT,
            report=plan.directory / REPORT,
            exit_status=EXIT_INTERRUPTED if interrupted else exit_status,
            interrupted=interrupted,
        )
        write_durations(plan.directory.parent, backend.name, longest_passed_s(outcomes))
        display.run_finished(summary)
    return exit_status


def _exit_status(outcomes: Sequence[Outcome]) -> int:
    """0 only where everything passed that this machine can run, and that is something."""
    states = {outcome.state for outcome in outcomes}
    if states == {State.UNSUPPORTED}:
        print_stderr(f"environment: nothing of this can run here: {outcomes[0].reason}")
        return EXIT_ENVIRONMENT
    return EXIT_PASSED if states <= {State.PASSED, State.UNSUPPORTED} else EXIT_FAILED


async def _swept(backend: Backend) -> list[str]:
    """Remove what the run has left; returns what could not be removed."""
    problems: list[str] = []
    async with hold_lock(SWEEP_LOCK, wait_s=SWEEP_WAIT_S):
        for sweep in (backend.sweep, sweep_exfat, sweep_disks):
            try:
                await sweep()
            except (HarnessError, OSError) as error:
                problems.append(f"something of the run is left: {error_text(error)}")
    return problems


def _written(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    """Write the files of the run; returns what could not be written."""
    words = (time.strftime("%d %B %Y, %H:%M"), f"seed {plan.seed}")
    files: dict[Path, Callable[[Path], None]] = {
        plan.directory / JUNIT: lambda path: write_junit(path, outcomes),
        plan.directory / REPORT: lambda path: write_report(path, plan.run_id, words, outcomes),
    }
    problems: list[str] = []
    for path, write in files.items():
        try:
            write(path)
        except OSError as error:
            problems.append(f"{path} cannot be written: {error.strerror}")
    return problems


def _binary(given: Path | None) -> Path:
    return build_binary(REPOSITORY) if given is None else find_binary(given)


def _command(backend: Backend, options: argparse.Namespace) -> tuple[str, ...]:
    command = ["python3", SCRIPT, "--backend", backend.name]
    if options.binary is not None:
        command += ["--binary", str(options.binary.resolve())]
    return (*command, "--build-image") if backend.name == "docker" else tuple(command)
