"""One run tests one binary, whatever a build or another checkout does meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER
from faulty_world import binary_in_image
from runner_process import failures, run_runner, states
from runners import dead_runner

from lanspread_harness import build
from lanspread_harness.backends import docker
from lanspread_harness.binary_under_test import BinaryUnderTest
from lanspread_harness.build import require_image
from lanspread_harness.cli import REPOSITORY
from lanspread_harness.errors import EnvironmentLackingError, ScenarioError
from lanspread_harness.identity import unique_token
from lanspread_harness.lab import LabSettings, open_lab
from lanspread_harness.schema import load_schema
from lanspread_harness.system_programs import lacking_for_links

if TYPE_CHECKING:
    from pathlib import Path

REPLACES = '''
"""Somebody builds while peers run."""

from pathlib import Path

async def scenario(lab):
    alpha = await lab.peer("alpha")
    binary = Path({binary!r})
    fresh = binary.with_name("fresh")
    fresh.write_bytes(binary.read_bytes() + {added!r})
    fresh.chmod(0o755)
    fresh.replace(binary)
    await alpha.command("echo")
'''

EXPECTED = "the binary is the one that the run began with"


@pytest.mark.parametrize("backend", ["process", "netns"])
@pytest.mark.parametrize(("added", "passes"), [(b"#", False), (b"", True)])
def test_a_binary_that_is_replaced_fails_the_run(
    tmp_path: Path, backend: str, added: bytes, passes: bool
) -> None:
    if backend == "netns" and lacking_for_links() is not None:
        pytest.skip(f"{lacking_for_links()}")
    binary = shutil.copy(FAKE_PEER, tmp_path / "peer")
    text = REPLACES.format(binary=str(binary), added=added)
    options = ("--backend", backend, "--binary", str(binary), "--repeat", "3", "--jobs", "1")
    ran = run_runner(tmp_path, {"replaces": text}, *options, "--json")
    assert ran.returncode == (0 if passes else 1), ran.stderr
    expected = "passed" if passes else "failed"
    assert states(ran) == dict.fromkeys(("S01-1", "S01-2", "S01-3"), expected)
    failed = failures(ran)
    assert {failure["expected"] for failure in failed.values()} == (set() if passes else {EXPECTED})


def test_a_program_is_read_again_only_where_it_looks_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "peer"
    path.write_bytes(b"one")
    program = BinaryUnderTest(path)
    os.utime(path, (1, 1))
    program.check()
    with monkeypatch.context() as unread:
        unread.setattr("lanspread_harness.binary_under_test.digest_of", None)
        program.check()
    path.write_bytes(b"two")
    with pytest.raises(ScenarioError, match=EXPECTED):
        program.check()
    path.unlink()
    with pytest.raises(ScenarioError, match=EXPECTED):
        program.check()
    with pytest.raises(EnvironmentLackingError, match="cannot be read"):
        BinaryUnderTest(path)


@pytest.fixture
def own_image(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name for images that no other runner on this machine has."""
    name = f"lanspread-test-{unique_token()}"
    monkeypatch.setattr(docker, "IMAGE", name)
    monkeypatch.setattr(build, "IMAGE", name)
    return name


def move_tag(name: str, directory: Path) -> None:
    """What another checkout does: it builds its own binary, tags it, and prunes what has no tag."""
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /lanspread-peer-cli\n")
    label = f"{docker.BINARY_LABEL}=another"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, "--label", label, directory], check=True
    )
    prune = ("docker", "image", "prune", "--force", "--filter", f"label={docker.BINARY_LABEL}")
    subprocess.run(prune, check=True, stdout=subprocess.DEVNULL)


def test_containers_are_of_one_image_wherever_its_tag_goes(tmp_path: Path, own_image: str) -> None:
    binary = binary_in_image(tmp_path)
    # Another binary than any image on this machine has, so that it must be built.
    with binary.open("ab") as file:
        file.write(unique_token().encode())
    program = BinaryUnderTest(binary)

    async def body() -> None:
        with pytest.raises(EnvironmentLackingError, match="add --build-image"):
            await require_image(REPOSITORY, program, build=False)
        image = await require_image(REPOSITORY, program, build=True)
        backend = docker.DockerBackend(image, seed=1)
        settings = LabSettings(f"lab-{unique_token()}", 1, tmp_path / "lab", binary)
        try:
            async with open_lab(settings, backend, load_schema(binary)) as lab:
                await lab.peer("alpha")
                await asyncio.to_thread(move_tag, own_image, tmp_path / "other")
                await lab.peer("bravo")
                for peer in lab.peers:
                    name = f"{settings.lab_id}-{peer.name}-1"
                    used = await docker.docker("inspect", "--format", "{{.Image}}", name)
                    assert used.strip() == image
        finally:
            await backend.close()
        listed = await docker.docker("image", "ls", "--quiet", "--no-trunc", "--all")
        assert image not in listed.split(), "nobody needs it any more"

    try:
        asyncio.run(body())
    finally:
        subprocess.run(["docker", "image", "rm", own_image], check=True, capture_output=True)


def test_an_image_whose_runner_is_dead_is_let_go(tmp_path: Path, own_image: str) -> None:
    binary = binary_in_image(tmp_path)
    held = f"{own_image}:{docker.HELD}{dead_runner()}"
    subprocess.run(["docker", "tag", "lanspread-peer-cli", held], check=True)
    image = asyncio.run(require_image(None, BinaryUnderTest(binary), build=False))
    asyncio.run(docker.DockerBackend(image, seed=1).sweep())
    tags = subprocess.check_output(["docker", "image", "ls", "--format", "{{.Tag}}", own_image])
    assert tags.decode().split() == [docker.own_tag()]
    asyncio.run(docker.release_image())
    asyncio.run(docker.release_image())
