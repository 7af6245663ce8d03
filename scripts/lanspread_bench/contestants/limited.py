"""Lanspread with a limit at its source, or at its receiver, and how well it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanspread_bench.contestants.lanspread import Lanspread
from lanspread_bench.figures import sampled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_bench.arena import Arena, Contestant, Prepared
    from lanspread_bench.processes import Processes


class Limited(Lanspread):
    """Peers of one binary, of which one side has a limit."""

    def __init__(self, binary: Path, build: str, flag: str, mib_per_s: int) -> None:
        limit = (flag, f"{mib_per_s}MiB")
        super().__init__(
            binary,
            build,
            name=flag if build == "lanspread" else f"{build}: {flag}",
            source_options=limit if flag == "--upload-limit" else (),
            receiver_options=limit if flag == "--download-limit" else (),
        )
        self._mib_per_s = mib_per_s

    async def prepare(self, arena: Arena, processes: Processes) -> Prepared:
        """As for any download."""
        prepared = await super().prepare(arena, processes)
        prepared.figures = lambda sample: {
            "limit_mib_per_s": self._mib_per_s,
            "off_limit_percent": (sample.mib_per_s / self._mib_per_s - 1) * 100,
        }
        return prepared


def rows(mib_per_s: int, binary: Path, build: str) -> Sequence[Contestant]:
    """Without a limit, and with it at either end."""
    limited = [
        Limited(binary, build, flag, mib_per_s) for flag in ("--upload-limit", "--download-limit")
    ]
    return [Lanspread(binary, build), *limited]


COLUMNS = (
    sampled("limit", "limit_mib_per_s", 0),
    sampled("off %", "off_limit_percent"),
)
"""How far from the limit the speed of the whole download is."""
