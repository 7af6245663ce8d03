"""How long scenarios took the last time, so that the next run can begin with the longest.

`out/durations.json` only improves the order: a run without it, or with a broken one, is complete.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "durations.json"
READABLE = 0o644


def read_durations(out: Path, backend: str) -> dict[str, float]:
    """Seconds by scenario id; a file that is not there or not readable only costs the order."""
    with suppress(OSError, ValueError, AttributeError):
        recorded = json.loads((out / FILE).read_text(encoding="utf-8")).get(backend, {})
        return {name: float(seconds) for name, seconds in recorded.items()}
    return {}


def write_durations(out: Path, backend: str, durations_s: Mapping[str, float]) -> None:
    """Remember these, and keep what is known of other scenarios and backends.

    Where that cannot be written, only the order of the next run suffers.
    """
    recorded: dict[str, object] = {}
    with suppress(OSError, ValueError):
        found = json.loads((out / FILE).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            recorded = found
    known = read_durations(out, backend)
    rounded = {name: round(seconds, 3) for name, seconds in durations_s.items()}
    recorded[backend] = dict(sorted({**known, **rounded}.items()))
    # Another run may write them at the same time, or another user may own them.
    with suppress(OSError):
        descriptor, fresh = tempfile.mkstemp(prefix=f".{FILE}.", dir=out)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(recorded, file, indent=1)
        Path(fresh).chmod(READABLE)
        Path(fresh).replace(out / FILE)
