"""Old names of the public API, which work for one release and warn.

A module that had a name, or was one, gives its `__getattr__` from `forward`. The type checker sees
the new object under the old name. Names that were never public have no alias.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def forward(module: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a module, which finds old names and warns.

    `names` maps each old name to the new one with its module. Every use of an old name is a
    `DeprecationWarning` that names the new one.
    """

    def find(name: str) -> object:
        new = names.get(name)
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_deprecated(f"{module}.{name}", new, stacklevel=3)
        home, _, attribute = new.rpartition(".")
        return getattr(importlib.import_module(home), attribute)

    return find


def warn_deprecated(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn whoever called the caller that a name is deprecated."""
    message = f"{old} is deprecated and goes with the next release: use {new}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)
