"""Programs of the system are found where they lie, and what is missing is said in terms of help."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import FAKE_PEER
from test_pytest_plugin import PASSES, WITH_PLUGIN

from lanspread_harness import system_programs
from lanspread_harness.cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

NO_IMAGE = """#!/bin/sh
case "$1 $2" in
version*) echo 1 ;;
"image ls") ;;
*) echo "Error: No such image: lanspread-peer-cli" >&2; exit 1 ;;
esac
"""


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the administrator's programs that is not on PATH."""
    directory = tmp_path / "sbin"
    monkeypatch.setattr(system_programs, "SYSTEM_DIRECTORIES", (str(directory),))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    return directory


def test_a_program_outside_path_is_found_and_used(system: Path) -> None:
    program(system / "nft", "#!/bin/sh\necho $0\n")
    assert system_programs.lacking(("nft",), ()) is None
    assert system_programs.find_program("nft") == str(system / "nft")
    assert asyncio.run(system_programs.tool("nft")).strip() == str(system / "nft")
    # As `nsenter` does it, and all who start others.
    assert asyncio.run(system_programs.tool("sh", "-c", "exec nft")).strip() == str(system / "nft")


def test_path_goes_first(system: Path, tmp_path: Path) -> None:
    program(system / "nft", "#!/bin/sh\n")
    program(tmp_path / "bin" / "nft", "#!/bin/sh\n")
    assert system_programs.find_program("nft") == str(tmp_path / "bin" / "nft")


def test_what_is_missing_says_where_it_was_looked_for(system: Path) -> None:
    reason = system_programs.lacking(("no-such-nft",), ())
    assert reason == f"no-such-nft is not installed (package nftables); looked in PATH, {system}"


@pytest.fixture(autouse=True)
def known_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(system_programs.PACKAGES, "no-such-nft", "nftables")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))


@pytest.mark.usefixtures("importable")
def test_a_missing_image_names_the_option_of_pytest(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path / "docker" / "docker", NO_IMAGE)
    monkeypatch.setenv("PATH", f"{tmp_path / 'docker'}:{os.environ['PATH']}")
    pytester.makepyfile(PASSES)
    options = ("--lanspread-backend=docker", f"--lanspread-binary={FAKE_PEER}")
    result = pytester.runpytest_subprocess(*WITH_PLUGIN, *options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no image * holds *, add --lanspread-build-image*"])
    result.stdout.no_fnmatch_line("* --build-image*")


@pytest.mark.usefixtures("importable")
def test_missing_rights_say_how_pytest_gets_them(pytester: pytest.Pytester) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.geteuid() != 0:
        pytest.skip("rights are given up with setpriv, by root")
    pytester.makepyfile(PASSES)
    drop = (setpriv, "--bounding-set=-all", "--inh-caps=-all", "--")
    options = ("--lanspread-backend=netns", f"--lanspread-binary={FAKE_PEER}")
    result = pytester.run(*drop, sys.executable, "-m", "pytest", *WITH_PLUGIN, *options)
    result.stdout.fnmatch_lines(["--lanspread-backend netns: *run it as root; or start pytest*"])
