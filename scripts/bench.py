#!/usr/bin/env python3
"""Measures transfers against others', in turn, over links that it makes in network namespaces.

Needs root and Linux. Ends with a table for each suite: medians over the rounds, and how many times
as fast Lanspread was in the same round. The destination is on one disk for all, the source in the
page cache for all; `durable` adds the time until the disk has it, which only Lanspread waits for.
Exit status: 0 all was measured, 1 a transfer failed, 2 bad usage, 3 the machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import EXIT_ENVIRONMENT, REPOSITORY, enter_environment

if TYPE_CHECKING:
    from lanspread_bench.figures import JsonObject, Results

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

PACKAGES = ("lanspread-peer-cli", "lanspread-bench")
"""What is measured, and the ceilings it is held against."""


def main() -> int:
    """Do what the arguments ask for and return the exit status."""
    from lanspread_bench.errors import BenchError, LackingError
    from lanspread_harness.errors import EnvironmentLackingError

    options = arguments()
    # What is under way ends in the order in which it began, and takes its namespaces with it. A job
    # in the background of a shell begins with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        results = measure(options)
    except (LackingError, EnvironmentLackingError) as error:
        print(f"environment: {error}", file=sys.stderr)
        return EXIT_ENVIRONMENT
    except BenchError as error:
        print(f"failed: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(result.failed for result in results) else 0


def arguments() -> argparse.Namespace:
    """The arguments, checked: what is wrong with them shows before hours of measuring."""
    from lanspread_bench import streamed
    from lanspread_bench.suites import AGAINST, BY_NAME

    parser = argparse.ArgumentParser(description=__doc__)
    names = [*BY_NAME, streamed.SUITE]
    parser.add_argument("--suite", action="append", choices=names, help="may be given again")
    parser.add_argument(
        "--against", default=",".join(AGAINST), help="comma-separated; all if not given"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--json", type=Path, metavar="FILE", help="all samples, for programs")
    parser.add_argument("--directory", type=Path, default=REPOSITORY / "out" / "bench")
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="NAME=BINARY",
        help="another build of the peer that takes part; may be given again",
    )
    parser.add_argument(
        "--archive",
        type=Path,
        metavar="FILE",
        help="the RAR archive that is streamed; made if not given, with `rar` where there is one",
    )
    parser.add_argument(
        "--unrar", type=Path, metavar="PROGRAM", help="what unpacks where a game is streamed"
    )
    options = parser.parse_args()
    options.against = frozenset(filter(None, options.against.split(",")))
    if unknown := options.against.difference(AGAINST):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}; there are {AGAINST}")
    if options.rounds < 1:
        parser.error("there is no median of no rounds")
    named = (candidate.partition("=") for candidate in options.candidate)
    options.candidates = {name: Path(path).resolve() for name, _, path in named}
    for name, path in options.candidates.items():
        if not os.access(path, os.X_OK) or path.is_dir():
            parser.error(f"candidate {name}: {path} is no program that can be run")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"{options.json} cannot be written: there is no such directory")
    return options


def measure(options: argparse.Namespace) -> list[Results]:
    """Measure all suites; what each gives is printed and written as soon as it is there."""
    from lanspread_bench import network, streamed, tools
    from lanspread_bench.contents import Contents
    from lanspread_bench.figures import table, to_json
    from lanspread_bench.run_directory import run_directory
    from lanspread_bench.suites import BY_NAME, Settings, run
    from lanspread_harness.build import build_binary
    from lanspread_harness.system_programs import with_system_programs

    network.require()
    # Some of the programs are of the administrator, and are run by others that look on PATH.
    os.environ.update(with_system_programs(os.environ))
    binary, ceilings = (build_binary(REPOSITORY, package) for package in PACKAGES)
    results: list[Results] = []
    with run_directory(options.directory.resolve()) as directory:
        settings = Settings(
            against=options.against,
            rounds=options.rounds,
            mtu=options.mtu,
            directory=directory,
            cache=tools.cache_directory(),
            binary=binary,
            ceilings=ceilings,
            candidates=options.candidates,
        )
        made = Contents(directory / "content", settings.binary)
        streams: list[JsonObject] = []

        def show(text: str) -> None:
            print(f"\n{text}", flush=True)
            if options.json is not None:
                document = json.dumps(
                    to_json(results, machine(), streams), indent=2, allow_nan=False
                )
                options.json.write_text(f"{document}\n", encoding="utf-8")

        for name in options.suite or ["single"]:
            for suite in BY_NAME.get(name, ()):
                results.append(run(suite, settings, made))
                show(table(results[-1]))
            if name == streamed.SUITE:
                setting = streamed.Setting(
                    binary=settings.binary,
                    directory=directory / "streamed",
                    archive=options.archive,
                    unrar=options.unrar and options.unrar.resolve(),
                    mtu=options.mtu,
                    rounds=options.rounds,
                )
                stream = streamed.measure(setting)
                streams.append(streamed.to_json(stream))
                show(streamed.table(stream))
    return results


def machine() -> dict[str, object]:
    """What the figures depend on."""
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
        "revision": revision.stdout.strip(),
    }


if __name__ == "__main__":
    enter_environment(check=arguments)
    from lanspread_harness.output import run_program

    sys.exit(run_program(main))
