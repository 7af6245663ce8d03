"""Makes the project's own virtual environment and enters it.

Runs on a bare Python, so it imports nothing outside the standard library. The environment lives in
`.venv` at the top of the repository, or in the user's cache where the repository cannot be written.
It is rebuilt when the pins in `pyproject.toml`, the Python version or the interpreter change;
nothing is ever installed into the system.

Entering it also leaves behind what the shell says to Python: `PYTHONOPTIMIZE` would take away the
assertions of tests, `PYTHONPATH` and `PYTHONHOME` other modules in. Files are read and named in
UTF-8 whatever the locale is.
"""

import sys

EXIT_ENVIRONMENT = 3
"""Exit status when the machine lacks something that the scripts cannot bring themselves."""

if sys.version_info < (3, 11):
    print("environment: Python 3.11 or newer is needed", file=sys.stderr)
    sys.exit(EXIT_ENVIRONMENT)

import fcntl
import hashlib
import io
import locale
import os
import subprocess
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
IN_REPOSITORY = REPOSITORY / ".venv"

HARMLESS = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONIOENCODING", "PYTHONUNBUFFERED"})
"""Variables of Python that change nothing but how it writes."""

UTF8_MODE = "PYTHONUTF8"

STANDARD_DESCRIPTORS = (0, 1, 2)


class BootstrapError(Exception):
    """The virtual environment could not be made; the message says what is missing."""


RUN, LAB, DEV = "run", "lab", "dev"
GROUPS = (RUN, LAB, DEV)
"""Groups of packages in `pyproject.toml`: what scenarios need, what labs with faces for people and
agents need beside it, and the checkers. Who has one of them has those before it."""


def pinned_requirements(group: str) -> list[str]:
    """The pinned packages of a group of `pyproject.toml` and of those before it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wanted = GROUPS[: GROUPS.index(group) + 1]
    return sorted(requirement for name in wanted for requirement in groups[name])


def ensure_environment(group: str = RUN) -> Path:
    """Bring the environment up to date and return its interpreter. Quick when nothing is to do.

    Two scripts that start at once take turns. An environment that has more than the `group` that
    is asked for serves as well.
    """
    environment = IN_REPOSITORY
    if not _is_current(environment, group) and not _is_writable():
        environment = in_cache()
    if _is_current(environment, group):
        return environment / "bin" / "python"
    try:
        environment.parent.mkdir(parents=True, exist_ok=True)
        with environment.with_name(f"{environment.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_current(environment, group):
                _install(environment, group)
    except OSError as error:
        message = (
            f"{environment.parent} cannot be written ({error.strerror}), and the virtual "
            "environment belongs there; XDG_CACHE_HOME names another place"
        )
        raise BootstrapError(message) from error
    return environment / "bin" / "python"


def enter_environment(group: str = RUN, *, check: Callable[[], object] | None = None) -> None:
    """Continue in the environment: returns at once inside it, otherwise replaces this process.

    Before that `check` looks at the arguments, with a bare Python: who only asks how a command is
    used, or uses it wrongly, waits for no installation. It ends the process then.

    Exits with status 3 and a message when the environment cannot be made.
    """
    open_standard_streams()
    variables = clean_variables(os.environ)
    if check is not None:
        _speak_as_the_terminal()
        check()
    try:
        python = ensure_environment(group)
    except BootstrapError as error:
        print(f"environment: {error}", file=sys.stderr)
        sys.exit(EXIT_ENVIRONMENT)
    inside = Path(sys.prefix).samefile(python.parent.parent)
    if inside and _is_plain() and variables == os.environ:
        _speak_as_the_terminal()
        return
    os.execve(python, [str(python), *sys.argv], variables)


def clean_variables(variables: "os._Environ[str] | dict[str, str]") -> dict[str, str]:
    """The environment without what would make this Python, and those it starts, another one."""
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith("PYTHON") or name in HARMLESS
    }
    return {**kept, UTF8_MODE: "1"}


def open_standard_streams() -> None:
    """Open those of the standard descriptors that are closed.

    The next file to be opened would take the place of one, and get what is meant for a terminal.
    """
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def in_cache() -> Path:
    """Where the environment of this repository is when it cannot be in the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    key = hashlib.sha256(os.fsencode(REPOSITORY)).hexdigest()[:16]
    return Path(base).absolute() / "lanspread" / f"venv-{key}"


def _is_plain() -> bool:
    """Whether this interpreter runs as these scripts want it."""
    return sys.flags.optimize == 0 and sys.flags.utf8_mode == 1


def _speak_as_the_terminal() -> None:
    """Write in the encoding of the locale; what it does not have is shown as escapes."""
    encoding = None if "PYTHONIOENCODING" in os.environ else locale.getencoding()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _is_writable() -> bool:
    """Whether an environment can be made, or made anew, in the repository."""
    places = [REPOSITORY, *([IN_REPOSITORY] if IN_REPOSITORY.exists() else [])]
    return all(os.access(place, os.W_OK | os.X_OK) for place in places)


def _stamp(environment: Path, group: str) -> Path:
    key = "\n".join([sys.version, str(environment), *pinned_requirements(group)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return environment / f".installed-{digest}"


def _is_current(environment: Path, group: str) -> bool:
    enough = GROUPS[GROUPS.index(group) :]
    return any(_stamp(environment, larger).exists() for larger in enough)


def _install(environment: Path, group: str) -> None:
    requirements = pinned_requirements(group)
    python = environment / "bin" / "python"
    print(f"installing {', '.join(requirements)} into {environment}", file=sys.stderr)
    try:
        venv.create(environment, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        hint = "on Debian and Ubuntu it is in the package python3-venv"
        message = f"python cannot make a virtual environment ({error}); {hint}"
        raise BootstrapError(message) from error
    pip = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env=clean_variables(os.environ),
        check=False,
    )
    if pip.returncode != 0:
        message = f"pip could not install {', '.join(requirements)}; is a package index reachable?"
        raise BootstrapError(message)
    _stamp(environment, group).touch()
