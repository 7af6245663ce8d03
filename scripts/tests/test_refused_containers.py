"""What the engine refuses is told with its reason. Needs a docker engine and the image."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from faulty_world import binary_in_image
from runner_process import PASSES, failures, run_runner, runner_command, states

from lanspread_harness.backends.docker import IMAGE, bind_mount
from lanspread_harness.system_programs import lacking_for_disks

if TYPE_CHECKING:
    from pathlib import Path

TAKEN = f'''
"""The name of a container is taken."""

import subprocess

async def scenario(lab):
    name = lab.network + "-alpha-1"
    subprocess.run(["docker", "create", "--name", name, "{IMAGE}"], check=True, capture_output=True)
    try:
        await lab.peer("alpha")
    finally:
        subprocess.run(["docker", "rm", name], check=True, capture_output=True)
'''

SCENARIO = PASSES.replace("echo", "status")


@pytest.mark.parametrize("name", ["a:b", "a,b", 'a"b', "a b=c", "ä,readonly"])
def test_any_path_can_be_given_to_a_container(tmp_path: Path, name: str) -> None:
    binary = binary_in_image(tmp_path)
    options = ("--backend", "docker", "--binary", str(binary), "--json")
    ran = run_runner(tmp_path / name, {"passes": SCENARIO}, *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert states(ran) == {"S01": "passed"}


def test_a_container_that_is_refused_says_why(tmp_path: Path) -> None:
    binary = binary_in_image(tmp_path)
    options = ("--backend", "docker", "--binary", str(binary), "--json")
    ran = run_runner(tmp_path, {"taken": TAKEN}, *options)
    assert ran.returncode == 1
    evidence = "\n".join(failures(ran)["S01"]["evidence"])
    assert "exit with status 125" in evidence
    assert "is already in use" in evidence


@pytest.mark.skipif(lacking_for_disks() is not None, reason=f"{lacking_for_disks()}")
def test_a_directory_that_the_engine_does_not_see_is_status_3(tmp_path: Path) -> None:
    binary = binary_in_image(tmp_path)
    out = tmp_path / "hidden" / "out"
    options = ("--backend", "docker", "--binary", str(binary), "--json", "--out", str(out))
    command = runner_command(tmp_path, {"passes": SCENARIO}, *options)
    (tmp_path / "hidden").mkdir()
    hide = f'mount -t tmpfs none {tmp_path / "hidden"} && exec "$@"'
    shell = ["unshare", "--mount", "sh", "-c", hide, "sh", *command]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert ran.stderr.startswith(f"environment: the docker engine does not see {out}")
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""


def test_a_mount_is_quoted_as_the_engine_reads_it(tmp_path: Path) -> None:
    assert bind_mount(tmp_path / 'a"b,c')[1].count('""') == 2
