"""Builds what scenarios run, the static binary and the image around it, or finds a binary.

`cli` and the pytest plugin call it before anything runs. It tests nothing and downloads no image.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lanspread_harness.backends import HOSTILE_PROGRAM
from lanspread_harness.backends.docker import (
    BINARY_LABEL,
    IMAGE,
    check_engine,
    docker,
    held_image,
    own_tag,
)
from lanspread_harness.binary_under_test import BinaryUnderTest, digest_of
from lanspread_harness.errors import EnvironmentLackingError

PACKAGE = "lanspread-peer-cli"
BUILT_WITH = {PACKAGE: (HOSTILE_PROGRAM,)}
"""What is built beside a package, in the same call: what attacks the peers of the scenarios."""

STAGED_BINARY = Path("target/image") / PACKAGE
"""Where the Dockerfile takes the binary from; all else in `target/` stays out of the context."""


BINARY_VARIABLE = "LANSPREAD_PEER_CLI"


def find_binary(given: Path | None = None) -> Path:
    """The binary that peers are started from.

    That is the one that is `given`, else the one that the environment variable `LANSPREAD_PEER_CLI`
    names, else `lanspread-peer-cli` of PATH, else, inside a checkout of Lanspread, a freshly built
    one. Raises `EnvironmentLackingError` where there is none.
    """
    named = given or (
        Path(os.environ[BINARY_VARIABLE]) if os.environ.get(BINARY_VARIABLE) else None
    )
    if named is not None:
        if not os.access(named, os.X_OK) or named.is_dir():
            reason = "is not an executable file" if named.exists() else "does not exist"
            raise EnvironmentLackingError(f"the lanspread-peer-cli {named} {reason}")
        return named.resolve()
    on_path = shutil.which(PACKAGE)
    if on_path is not None:
        return Path(on_path).resolve()
    checkout = find_checkout()
    if checkout is not None:
        return build_binary(checkout)
    raise EnvironmentLackingError(
        f"there is no {PACKAGE}: name it with {BINARY_VARIABLE}, put it on PATH, or start inside a "
        "checkout of Lanspread, where it is built"
    )


def find_checkout() -> Path | None:
    """The checkout of Lanspread that the working directory or this very file lies in."""
    here = Path.cwd()
    for directory in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (directory / "crates" / PACKAGE / "Cargo.toml").is_file():
            return directory
    return None


def build_binary(repository: Path, package: str = PACKAGE) -> Path:
    """Build the release binary of a package and return its path. Quick when nothing changed.

    Beside that of the peer is the program that attacks peers. On Linux it is linked statically, so
    that one binary serves processes and the empty image.
    """
    _require("cargo", "install Rust from https://rustup.rs")
    _require("c++", "install a C++ compiler (package g++ or gcc-c++): unrar is written in C++")
    target = _host_target(repository)
    environment = dict(os.environ)
    if target.endswith("-linux-gnu"):
        flags = environment.get("RUSTFLAGS", "")
        environment["RUSTFLAGS"] = f"{flags} -C target-feature=+crt-static".strip()
    command = [
        *("cargo", "build", "--release", "--locked", "--target", target),
        *(part for name in (package, *BUILT_WITH.get(package, ())) for part in ("--package", name)),
        "--message-format=json-render-diagnostics",
    ]
    built = subprocess.run(
        command,
        cwd=repository,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if built.returncode != 0:
        raise EnvironmentLackingError("the binary does not build; cargo says why above")
    return _executable(built.stdout, package)


async def require_image(
    repository: Path | None,
    program: BinaryUnderTest,
    *,
    build: bool,
    build_option: str = "--build-image",
) -> str:
    """The id of the image that holds this binary; it stays until the runner lets it go.

    With `build` a missing image is built, otherwise it is an error that names the option. It can be
    built only from a checkout.
    """
    await check_engine()
    image = await held_image(program.digest)
    if image is None and build and repository is not None:
        await asyncio.to_thread(_build_image, repository, program)
        image = await held_image(program.digest)
    elif image is not None and build:
        # For people, who name it by its tag.
        await docker("tag", image, IMAGE)
    if image is None:
        place = "" if repository is not None else ", from inside a checkout of Lanspread,"
        raise EnvironmentLackingError(
            f"no image {IMAGE} holds {program.path}, add {build_option}{place} to build it"
        )
    return image


def _build_image(repository: Path, program: BinaryUnderTest) -> None:
    # In a context of its own: what another runner stages cannot get into this image.
    with tempfile.TemporaryDirectory(prefix="lanspread-image-") as context:
        staged = Path(context) / STAGED_BINARY
        staged.parent.mkdir(parents=True)
        shutil.copy2(program.path, staged)
        if digest_of(staged) != program.digest:
            raise EnvironmentLackingError(f"{program.path} was replaced while its image was built")
        command = [
            *("docker", "build", "--target", "prebuilt", "--tag", IMAGE),
            *("--tag", f"{IMAGE}:{own_tag()}", "--file", str(repository / "Dockerfile")),
            *("--label", f"{BINARY_LABEL}={program.digest}", context),
        ]
        built = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if built.returncode != 0:
        reason = built.stderr.decode("utf-8", "replace").strip()
        raise EnvironmentLackingError(f"the image does not build: {reason}")
    # The image that was current before has lost its name. One that a runner holds has another.
    prune = ("docker", "image", "prune", "--force", "--filter", f"label={BINARY_LABEL}")
    subprocess.run(prune, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _require(program: str, remedy: str) -> None:
    if shutil.which(program) is None:
        raise EnvironmentLackingError(f"{program} is not installed; {remedy}")


def _host_target(repository: Path) -> str:
    described = subprocess.run(
        ["rustc", "-vV"], cwd=repository, capture_output=True, text=True, check=False
    )
    for line in described.stdout.splitlines():
        if line.startswith("host: "):
            return line.removeprefix("host: ")
    raise EnvironmentLackingError(f"rustc does not tell its host target: {described.stderr}")


def _executable(messages: bytes, package: str) -> Path:
    for line in messages.splitlines():
        message = json.loads(line)
        is_artifact = message.get("reason") == "compiler-artifact"
        if is_artifact and message["target"]["name"] == package and message.get("executable"):
            return Path(message["executable"])
    raise EnvironmentLackingError(f"cargo built no executable {package}")
