#!/usr/bin/env python3
"""Measures transfers against others', in turn, over links that it makes in network namespaces.

Needs root and Linux. Ends with a table for each suite: medians over the rounds, and how many times
as fast Lanspread was in the same round. The destination is on one disk for all, the source in the
page cache for all; `durable` adds the time until the disk has it, which only Lanspread waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from bootstrap import EXIT_ENVIRONMENT, REPOSITORY, enter_environment

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> int:
    """Do what the arguments ask for and return the exit status."""
    from lanspread_bench import network, streamed, tools
    from lanspread_bench.contents import Contents
    from lanspread_bench.errors import LackingError
    from lanspread_bench.figures import JsonObject, Results, table, to_json
    from lanspread_bench.suites import AGAINST, SUITES, Settings, run
    from lanspread_harness.build import build_binary
    from lanspread_harness.errors import EnvironmentLackingError

    parser = argparse.ArgumentParser(description=__doc__)
    names = [*SUITES, streamed.SUITE]
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
    against = frozenset(filter(None, options.against.split(",")))
    if unknown := against.difference(AGAINST):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}; there are {AGAINST}")
    if options.rounds < 1:
        parser.error("there is no median of no rounds")
    candidates = dict(candidate.partition("=")[::2] for candidate in options.candidate)
    # What is under way ends in the order in which it began, and takes its namespaces with it.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    directory = options.directory.resolve() / f"run-{os.getpid()}"
    try:
        network.require()
        settings = Settings(
            against=against,
            rounds=options.rounds,
            mtu=options.mtu,
            directory=directory,
            cache=tools.cache_directory(),
            binary=build_binary(REPOSITORY),
            ceilings=build_binary(REPOSITORY, "lanspread-bench"),
            candidates={name: Path(binary).resolve() for name, binary in candidates.items()},
        )
        made = Contents(directory / "content", settings.binary)
        results: list[Results] = []
        streams: list[JsonObject] = []

        def tell(shown: str) -> None:
            print(f"\n{shown}", flush=True)
            if options.json is not None:
                document = to_json(results, machine(), streams)
                options.json.write_text(f"{json.dumps(document, indent=2)}\n", encoding="utf-8")

        for name in options.suite or ["single"]:
            for suite in SUITES.get(name, ()):
                results.append(run(suite, settings, made))
                tell(table(results[-1]))
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
                tell(streamed.table(stream))
    except (LackingError, EnvironmentLackingError) as error:
        print(f"environment: {error}", file=sys.stderr)
        return EXIT_ENVIRONMENT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


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
    enter_environment()
    sys.exit(main())
