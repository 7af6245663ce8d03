"""A wheel holds what the tree holds, and building it leaves the tree as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "lanspread_harness"
PACKAGES = (PACKAGE, "lanspread_lab")
NEEDED = ("pyproject.toml", ".gitignore", "LICENSE-MIT", "LICENSE-APACHE", "docs/harness.md")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of the checkout a build looks at, in a copy, without what Python itself leaves there."""
    copy = tmp_path / "check out"
    for name in NEEDED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, copy / name)
    scripts = copy / "scripts"
    shutil.copytree(
        REPOSITORY / "scripts", scripts, ignore=shutil.ignore_patterns("__pycache__", "tests")
    )
    return copy


def build(checkout: Path, to: Path) -> dict[str, bytes]:
    """Build a wheel as `pip install PATH` does, and return what is in it."""
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(to), str(checkout)),
    ]
    built = subprocess.run(command, cwd=to.parent, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    [wheel] = to.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files(directory: Path) -> dict[str, bytes]:
    """Everything below a directory, by its path there."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def of_package(wheel: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in wheel.items() if ".dist-info/" not in name}


def test_a_wheel_holds_what_the_tree_holds(checkout: Path, tmp_path: Path) -> None:
    before = files(checkout)
    wheel = build(checkout, tmp_path / "wheels")
    trees = {package: files(checkout / "scripts" / package) for package in PACKAGES}
    assert of_package(wheel) == {
        f"{package}/{name}": data for package, tree in trees.items() for name, data in tree.items()
    }
    tree = trees[PACKAGE]
    assert {"py.typed", "skill.md"} <= trees["lanspread_lab"].keys()
    assert {"py.typed", "report/page.html", "report/style.css", "report/app.js"} <= tree.keys()
    assert files(checkout) == before, "nothing is left"
    names = {
        name.rpartition("/")[2]: data.decode() for name, data in wheel.items() if "dist" in name
    }
    assert "lanspread = lanspread_harness.pytest_plugin" in names["entry_points.txt"]
    assert "lanspread-lab = lanspread_lab.cli:main" in names["entry_points.txt"]
    assert "# Tests with several peers" in names["METADATA"]
    assert {"LICENSE-MIT", "LICENSE-APACHE"} <= names.keys()


def test_a_module_that_is_gone_is_not_shipped(checkout: Path, tmp_path: Path) -> None:
    module = checkout / "scripts" / PACKAGE / "short_lived.py"
    module.touch()
    assert f"{PACKAGE}/short_lived.py" in build(checkout, tmp_path / "first")
    module.unlink()
    assert f"{PACKAGE}/short_lived.py" not in build(checkout, tmp_path / "second")
