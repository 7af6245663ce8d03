"""Makes the backend that `--backend` names, and checks what must be there before.

`cli` and the pytest plugin call it. Backends do not know each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanspread_harness.backends.docker import DockerBackend
from lanspread_harness.backends.netns import NetnsBackend, check_namespaces
from lanspread_harness.backends.process import ProcessBackend
from lanspread_harness.binary_under_test import BinaryUnderTest
from lanspread_harness.build import require_image

if TYPE_CHECKING:
    from pathlib import Path

    from lanspread_harness.backends import Backend

BACKENDS = ("process", "netns", "docker")


def check_backend(name: str) -> None:
    """Raise `EnvironmentLackingError` where it is plain before any build that it cannot work."""
    if name == "netns":
        check_namespaces()


async def make_backend(
    name: str,
    binary: Path,
    seed: int,
    *,
    repository: Path | None,
    build_image: bool = False,
    build_option: str = "--build-image",
) -> Backend:
    """The backend with this name; `auto` is process, which needs nothing but this machine.

    `repository` is where the image can be built, `build_option` what the caller is asked for it.
    """
    if name == "docker":
        tested = BinaryUnderTest(binary)
        image = await require_image(
            repository, tested, build=build_image, build_option=build_option
        )
        return DockerBackend(image, seed)
    if name == "netns":
        return NetnsBackend(binary, seed)
    return ProcessBackend(binary)


def sweeping_backend(name: str, binary: Path) -> Backend:
    """A backend that can `sweep` and nothing else: it needs no image and starts no peer."""
    if name == "docker":
        return DockerBackend("", 0)
    return NetnsBackend(binary, 0) if name == "netns" else ProcessBackend(binary)
