"""Makes the project's own virtual environment and enters it.

Runs on a bare Python, so it imports nothing outside the standard library. The environment lives in
`.venv` at the top of the repository and is rebuilt when the pins in `pyproject.toml`, the Python
version or the interpreter change; nothing is ever installed into the system.
"""

import sys

EXIT_ENVIRONMENT = 3
"""Exit status when the machine lacks something that the scripts cannot bring themselves."""

if sys.version_info < (3, 11):
    print("environment: Python 3.11 or newer is needed", file=sys.stderr)
    sys.exit(EXIT_ENVIRONMENT)

import fcntl
import hashlib
import os
import subprocess
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = REPOSITORY / ".venv"


class BootstrapError(Exception):
    """The virtual environment could not be made; the message says what is missing."""


def pinned_requirements(*, dev: bool) -> list[str]:
    """The pinned packages of `pyproject.toml`: the runner's, and with `dev` the checkers' too."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    requirements: list[str] = [*groups["run"], *(groups["dev"] if dev else ())]
    return sorted(requirements)


def ensure_environment(*, dev: bool) -> Path:
    """Bring `.venv` up to date and return its interpreter. Quick when there is nothing to do.

    Two scripts that start at once take turns. With `dev` the checkers are installed as well; an
    environment that has them serves callers that do not ask for them.
    """
    python = ENVIRONMENT / "bin" / "python"
    if _is_current(dev=dev):
        return python
    with (REPOSITORY / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(dev=dev):
            _install(python, dev=dev)
    return python


def enter_environment(*, dev: bool = False, check: Callable[[], object] | None = None) -> None:
    """Continue in `.venv`: returns at once inside it, otherwise replaces this process.

    Before that `check` looks at the arguments, with a bare Python: who only asks how a command is
    used, or uses it wrongly, waits for no installation. It ends the process then.

    Exits with status 3 and a message when the environment cannot be made.
    """
    if Path(sys.prefix) == ENVIRONMENT and _is_current(dev=dev):
        return
    if check is not None:
        check()
    try:
        python = ensure_environment(dev=dev)
    except BootstrapError as error:
        print(f"environment: {error}", file=sys.stderr)
        sys.exit(EXIT_ENVIRONMENT)
    os.execv(python, [str(python), *sys.argv])


def _stamp(*, dev: bool) -> Path:
    key = "\n".join([sys.version, str(ENVIRONMENT), *pinned_requirements(dev=dev)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return ENVIRONMENT / f".installed-{digest}"


def _is_current(*, dev: bool) -> bool:
    return _stamp(dev=dev).exists() or _stamp(dev=True).exists()


def _install(python: Path, *, dev: bool) -> None:
    requirements = pinned_requirements(dev=dev)
    print(f"installing {', '.join(requirements)} into {ENVIRONMENT}", file=sys.stderr)
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        hint = "on Debian and Ubuntu it is in the package python3-venv"
        message = f"python cannot make a virtual environment ({error}); {hint}"
        raise BootstrapError(message) from error
    pip = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
    )
    if pip.returncode != 0:
        message = f"pip could not install {', '.join(requirements)}; is a package index reachable?"
        raise BootstrapError(message)
    _stamp(dev=dev).touch()
