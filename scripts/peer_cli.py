#!/usr/bin/env python3
"""Builds the peer, its image, or runs one to talk to.

`peer_cli.py build` prints the path of the static binary, `image` builds the image around it, and
`run NAME [--docker]` starts a peer whose JSONL is this terminal. Peers that are run this way share
one network and one catalog with a demo game that `alpha` holds, and find each other by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import EXIT_ENVIRONMENT, REPOSITORY, enter_environment

PEERS = REPOSITORY / "out" / "peers"
NETWORK = "lanspread-demo"
DEMO_HOLDER = "alpha"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,30}")
"""Also the name of a directory and of a container."""


def main() -> int:
    """Do what the arguments ask for and return the exit status."""
    from lanspread_harness.backends.docker import release_image
    from lanspread_harness.binary_under_test import BinaryUnderTest
    from lanspread_harness.build import build_binary, require_image
    from lanspread_harness.errors import EnvironmentLackingError
    from lanspread_harness.output import print_stderr

    options, further = arguments()
    image = ""
    try:
        binary = build_binary(REPOSITORY)
        if options.action == "image" or (options.action == "run" and options.docker):
            image = asyncio.run(require_image(REPOSITORY, BinaryUnderTest(binary), build=True))
    except EnvironmentLackingError as error:
        print_stderr(f"environment: {error}")
        return EXIT_ENVIRONMENT
    if options.action == "build":
        print(binary)
    if options.action == "image":
        asyncio.run(release_image())
    if options.action == "run":
        return start_peer(binary, options.name, further, image)
    return 0


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """The arguments, and those for the peer; ends the process where they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("build", help="build the binary and print its path")
    actions.add_parser("image", help="build the image")
    run = actions.add_parser("run", help="start a peer on this terminal")
    run.add_argument("name")
    run.add_argument("--docker", action="store_true", help="in a container")
    options, further = parser.parse_known_args()
    if further and options.action != "run":
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    if options.action == "run" and not NAME.fullmatch(options.name):
        parser.error(f"a name has letters, digits and dashes: {options.name}")
    return options, further


def start_peer(binary: Path, name: str, further: list[str], image: str) -> int:
    """Become the peer, in a container of `image` if it names one; returns no more."""
    from lanspread_harness.backends.docker import bind_mount

    prepare(binary, name)
    arguments = [
        *("run", "--name", name, "--network", NETWORK),
        *("--games-dir", str(PEERS / name / "games"), "--state-dir", str(PEERS / name / "state")),
        *("--catalog", str(PEERS / "catalog.json")),
    ]
    if image:
        arguments += ["--listen", "0.0.0.0:0", "--mdns-interface", "all", *further]
        container_name = f"{NETWORK}-{name}"
        ensure_network()
        command = [
            *("docker", "run", "--rm", "--interactive", "--name", container_name),
            *("--network", NETWORK, "--hostname", name, *bind_mount(PEERS)),
            *("--user", f"{os.getuid()}:{os.getgid()}", image, *arguments),
        ]
    else:
        arguments += ["--listen", "127.0.0.1:0", "--mdns-interface", "lo", *further]
        command = [str(binary), *arguments]
    os.execvp(command[0], command)


def prepare(binary: Path, name: str) -> None:
    """Make the directories, the catalog and the demo game, where they are not there yet."""
    (PEERS / name / "games").mkdir(parents=True, exist_ok=True)
    catalog = PEERS / "catalog.json"
    if catalog.exists() and (PEERS / DEMO_HOLDER / "games" / "demo").exists():
        return
    subprocess.run(
        [
            *(str(binary), "fixture", "--games-dir", str(PEERS / DEMO_HOLDER / "games")),
            *("--catalog", str(catalog), "--id", "demo", "--title", "Demo", "--force"),
            *("--archive", "rar", "--entry", "demo.exe=8MiB", "--entry", "data/map.bsp=1MiB"),
        ],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def ensure_network() -> None:
    """Make the bridge of the demo peers, if it is not there."""
    from lanspread_harness.backends.docker import docker
    from lanspread_harness.errors import BackendError

    async def ensure() -> None:
        try:
            await docker("network", "inspect", NETWORK)
        except BackendError:
            await docker("network", "create", NETWORK)

    asyncio.run(ensure())


if __name__ == "__main__":
    enter_environment(check=arguments)
    from lanspread_harness.output import run_answer

    # A peer takes this process over, and its standard output with it.
    sys.exit(run_answer(main))
