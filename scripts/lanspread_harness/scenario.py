"""A scenario: one promise in one file, found in `scenarios/` by its name."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from lanspread_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path
    from types import ModuleType

    from lanspread_harness.backends import Need
    from lanspread_harness.lab import Lab

FILE_NAME = re.compile(r"s(?P<number>\d{2,})_(?P<behaviour>[a-z0-9_]+)\.py")

DEFAULT_TIMEOUT_S = 60.0

Body: TypeAlias = "Callable[[Lab], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Meta:
    """What a scenario file may declare as `META`.

    `timeout_s` ends it as failed. `needs` are what its backend must offer. `expected_s` is how long
    it takes on two cores: the longest begin first, and shards are balanced by it. `cores`,
    `memory_mib` and `peers` (at a time) are what it takes of the machine; only what fits beside
    each other runs so. `cores` are an average: most scenarios mostly wait. `alone` is for what
    would slow down others, or is slowed down by them, so that a time does not hold. `long`
    ones run only with `--long` or when they are named, for as many minutes as `--long-minutes` says
    on top of their `timeout_s`.
    """

    timeout_s: float = DEFAULT_TIMEOUT_S
    needs: frozenset[Need] = field(default_factory=frozenset)
    expected_s: float = 5.0
    cores: float = 0.6
    memory_mib: int = 256
    peers: int = 4
    alone: bool = False
    long: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One promise and how it is proved."""

    id: str
    path: Path
    promise: str
    meta: Meta
    body: Body


def discover(directory: Path) -> list[Scenario]:
    """All scenarios of a directory in the order of their ids."""
    found: dict[str, Scenario] = {}
    for path in sorted(directory.glob("s*.py")):
        scenario = _load(path)
        if scenario.id in found:
            raise HarnessError(f"{path} and {found[scenario.id].path} are both {scenario.id}")
        found[scenario.id] = scenario
    return [found[key] for key in sorted(found, key=lambda key: int(key[1:]))]


def select(
    scenarios: Iterable[Scenario], wanted: Iterable[str], *, long: bool = False
) -> list[Scenario]:
    """The scenarios with these ids; where none is named, all, or all but the long ones.

    An unknown id is a usage error.
    """
    by_id = {scenario.id: scenario for scenario in scenarios}
    ids = list(dict.fromkeys(name.upper() for name in wanted))
    unknown = [name for name in ids if name not in by_id]
    if unknown:
        raise UsageError(f"there is no scenario {', '.join(unknown)}; --list shows all")
    if ids:
        return [by_id[name] for name in ids]
    return [scenario for scenario in by_id.values() if long or not scenario.meta.long]


def _load(path: Path) -> Scenario:
    matched = FILE_NAME.fullmatch(path.name)
    if matched is None:
        raise HarnessError(f"{path} is not named sNN_<behaviour>.py")
    module = _import(path)
    promise = (module.__doc__ or "").strip().partition("\n")[0]
    body = getattr(module, "scenario", None)
    meta = getattr(module, "META", Meta())
    if not promise or not callable(body) or not isinstance(meta, Meta):
        raise HarnessError(f"{path} lacks a docstring, `async def scenario(lab)` or a valid META")
    return Scenario(f"S{matched['number']}", path, promise, meta, body)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scenarios.{path.stem}", path)
    if spec is None:
        raise HarnessError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        # Whatever PYTHONOPTIMIZE says: the promise is a docstring, and assertions are to hold.
        code = compile(path.read_bytes(), path, "exec", dont_inherit=True, optimize=0)
        exec(code, module.__dict__)  # noqa: S102
    except (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError) as error:
        raise HarnessError(f"{path} cannot be imported: {error}") from error
    return module
