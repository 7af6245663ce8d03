"""Whether a peer stays as it is over a long time: memory, threads and open files, sampled.

`sample` looks at a process of this host; `growth` and `expect_flat` look at samples alone. What a
peer takes at first, such as caches that fill, is no growth: the first third is left out.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import TYPE_CHECKING

from lanspread_harness.checks import expect
from lanspread_harness.process_usage import find_pid, read_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_harness.client import Peer

SAMPLE_EVERY_S = 5.0

SETTLES_SHARE = 1 / 3
"""The part of the time in which a peer may still grow."""

FEWEST_SAMPLES = 60
"""Of what is left of the time, five minutes: attacks come and go within seconds of each other."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process takes at one moment."""

    at_s: float
    rss_mib: float
    threads: int
    files: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What a process takes more at the end than when it had settled, by its slope."""

    rss_mib: float
    threads: float
    files: float

    def __str__(self) -> str:
        return f"{self.rss_mib:+.1f} MiB, {self.threads:+.1f} threads, {self.files:+.1f} open files"


GROWS_MOST = Growth(rss_mib=24, threads=4, files=16)
"""What is not flat. What a peer takes goes up and down by less than this while it works."""


class Recorder:
    """Takes samples of one peer, which is not restarted meanwhile, until it is cancelled."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.samples: list[Sample] = []

    async def record(self) -> None:
        """Take samples for ever."""
        began = time.monotonic()
        while True:
            self.samples.append(sample(self.peer, time.monotonic() - began))
            await asyncio.sleep(SAMPLE_EVERY_S)

    def write(self, path: Path) -> None:
        """Write all samples as a table that any program reads."""
        rows = [f"{s.at_s:.1f},{s.rss_mib:.1f},{s.threads},{s.files}" for s in self.samples]
        path.write_text("\n".join(["s,rss_mib,threads,files", *rows, ""]), "utf-8")


def sample(peer: Peer, at_s: float) -> Sample:
    """What a peer takes now."""
    pid = find_pid(peer)
    status = read_status(pid)
    rss_mib = int(status["VmRSS"].split()[0]) / 1024
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(at_s, rss_mib, int(status["Threads"]), files)


def growth(samples: Sequence[Sample]) -> Growth | None:
    """What a process took more at the end, or `None` where there are too few samples to say."""
    if not samples:
        return None
    begin_s = samples[-1].at_s * SETTLES_SHARE
    settled = [sample for sample in samples if sample.at_s >= begin_s]
    if len(settled) < FEWEST_SAMPLES:
        return None
    times = [sample.at_s for sample in settled]
    lasted_s = times[-1] - times[0]

    def slope(values: list[float]) -> float:
        return linear_regression(times, values).slope * lasted_s

    return Growth(
        slope([sample.rss_mib for sample in settled]),
        slope([float(sample.threads) for sample in settled]),
        slope([float(sample.files) for sample in settled]),
    )


def describe(samples: Sequence[Sample]) -> str:
    """The middle of what was sampled, in words."""
    rss, threads, files = (
        median(getattr(sample, name) for sample in samples)
        for name in ("rss_mib", "threads", "files")
    )
    return f"{rss:.0f} MiB, {threads:.0f} threads, {files:.0f} open files"


def expect_flat(name: str, grown: Growth) -> None:
    """Fail where a peer took more and more."""
    most = GROWS_MOST
    for what, more, bound in (
        ("memory in MiB", grown.rss_mib, most.rss_mib),
        ("threads", grown.threads, most.threads),
        ("open files", grown.files, most.files),
    ):
        expect(more <= bound, f"the {what} of {name} grow by no more than {bound:g}", more)
