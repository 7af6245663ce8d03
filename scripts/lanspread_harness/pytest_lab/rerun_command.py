"""Builds the command that runs one test again, the same way, from any folder of any shell."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

VARIABLES = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
"""What pytest and the search for its plugins depend on; a shell of its own may lack it."""

OF_OTHER_RUNS = ("--basetemp", "--lanspread-seed", "--lanspread-binary", "--lanspread-backend")
"""Options with a value that do not go on: the first would delete evidence, the others follow."""

FLAGS_OF_OTHER_RUNS = ("--lanspread-keep", "--")


def rerun_command(
    config: pytest.Config, item: pytest.Item, *, backend: str, binary: Path, seed: int
) -> str:
    """Return the command, quoted for a POSIX shell."""
    words = [*_pytest(config), *_options(config), _node(config, item)]
    # As one word each: of two pytest takes the second for a test, and for where its settings are.
    words += [f"--lanspread-backend={backend}", f"--lanspread-binary={binary}"]
    words += [f"--lanspread-seed={seed}", "--lanspread-keep"]
    settings = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
    if settings:
        words = ["env", *settings, *words]
    folder = shlex.quote(str(config.invocation_params.dir))
    return f"cd {folder} && {shlex.join(words)}"


def _pytest(config: pytest.Config) -> list[str]:
    """How pytest was started: as a program, or as a module, which adds the folder to the path."""
    program = Path(_argv(config)[0])
    if program.name in {"pytest", "py.test"} and os.access(program, os.X_OK):
        return [str(program.absolute())]
    return [sys.executable, "-m", "pytest"]


def _options(config: pytest.Config) -> list[str]:
    """The options that pytest was given, without files and without what is of that run alone.

    Which settings file is meant may follow from the files given, so it is named.
    """
    given = list(_without_files(_arguments(config), config.args))
    if config.inipath is not None and not config.getoption("inifilename", None):
        given += ["-c", str(config.inipath)]
    if not config.getoption("rootdir", None):
        given += ["--rootdir", str(config.rootpath)]
    return given


def _without_files(arguments: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    skip = False
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, _ = argument.partition("=")
        if skip or argument in FLAGS_OF_OTHER_RUNS:
            skip = False
        elif name in OF_OTHER_RUNS:
            skip = not equals
        elif argument not in files or _is_value(before, argument, arguments, files):
            yield argument


def _is_value(before: str, argument: str, arguments: Sequence[str], files: Sequence[str]) -> bool:
    """Whether an argument that is spelled like a file is the value of the option before it."""
    more = arguments.count(argument) > list(files).count(argument)
    return more and before.startswith("-") and "=" not in before


def _node(config: pytest.Config, item: pytest.Item) -> str:
    """The id of the test, from the folder that the command goes to."""
    _, colons, rest = item.nodeid.partition("::")
    path = os.path.relpath(item.path, config.invocation_params.dir)
    return f"{path}{colons}{rest}"


def _argv(config: pytest.Config) -> Sequence[str]:
    """The command line; the workers of pytest-xdist are told that of the session."""
    worker: dict[str, list[str]] = getattr(config, "workerinput", {})
    return worker.get("mainargv", sys.argv)


def _arguments(config: pytest.Config) -> Sequence[str]:
    worker = hasattr(config, "workerinput")
    return _argv(config)[1:] if worker else config.invocation_params.args
