"""What was measured, and what follows from it: medians, ratios in the same round, a table, JSON.

Pure. A ratio compares two contestants of the same round, since a machine that others use as well is
not equally fast all the time; what is printed is the median over the rounds.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lanspread_bench.processes import Cost

MIB = 1024 * 1024
GIB = 1024 * MIB

JsonObject: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sample:
    """One transfer."""

    bytes: int
    """What every receiver has after it that it had not before, over all receivers."""
    seconds: float
    """Until the last receiver says that it is done."""
    sync_seconds: float
    """How long the disk then still takes until all of it is durable."""
    sources: Cost
    receivers: Cost
    seed_bytes_sent: int | None = None
    """What left the first source, headers included; `None` where nobody counts it."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What only this suite measures, by name."""

    @property
    def mib_per_s(self) -> float:
        """The speed at which the receivers have it, together."""
        return self.bytes / MIB / self.seconds

    @property
    def durable_mib_per_s(self) -> float:
        """The speed at which it is on the disk."""
        return self.bytes / MIB / (self.seconds + self.sync_seconds)


@dataclass(frozen=True, slots=True)
class Column:
    """A figure that only some suites have."""

    heading: str
    key: str
    """What JSON calls it; the unit comes last."""
    of: Callable[[Mapping[str, Sample], str], float | None]
    """The figure of a contestant, from all samples of one round; `None` where it has none."""
    decimals: int = 2


def sampled(heading: str, key: str, decimals: int = 2) -> Column:
    """A column of what samples have among their own figures."""
    return Column(heading, key, lambda samples, name: samples[name].figures.get(key), decimals)


@dataclass(slots=True)
class Results:
    """All samples of one suite, by contestant and round."""

    suite: str
    conditions: str
    reference: str
    """Whom the others are compared with."""
    notes: dict[str, str] = field(default_factory=dict)
    """What each contestant verifies and makes durable."""
    samples: dict[str, dict[int, Sample]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Contestants without figures, or without further ones, and why."""
    failed: set[str] = field(default_factory=set)
    """Those of `absent` that began to transfer."""
    missed: list[str] = field(default_factory=list)
    """Which rounds of whom have no figures, and why."""
    columns: Sequence[Column] = ()
    """Figures that only this suite has."""

    def add(self, contestant: str, number: int, sample: Sample) -> None:
        """Note what a contestant did in a round."""
        self.samples.setdefault(contestant, {})[number] = sample

    def ratios(self, contestant: str, *, durable: bool = False) -> list[float]:
        """How many times as fast the reference was, in each round that both finished."""
        ours, theirs = self.samples.get(self.reference, {}), self.samples.get(contestant, {})
        both = sorted(ours.keys() & theirs.keys())
        if durable:
            return [ours[n].durable_mib_per_s / theirs[n].durable_mib_per_s for n in both]
        return [ours[n].mib_per_s / theirs[n].mib_per_s for n in both]

    def figures(self, column: Column, contestant: str) -> list[float]:
        """The figure of a column in each round that has it."""
        found = []
        for number in self.samples.get(contestant, {}):
            by_name = {name: of[number] for name, of in self.samples.items() if number in of}
            found.append(column.of(by_name, contestant))
        return [figure for figure in found if figure is not None]


def to_json(
    results: Sequence[Results],
    machine: Mapping[str, object],
    others: Sequence[JsonObject] = (),
) -> JsonObject:
    """Everything, with each single sample; `others` are suites that are no transfers."""
    return {
        "machine": dict(machine),
        "suites": [
            {
                "suite": result.suite,
                "conditions": result.conditions,
                "reference": result.reference,
                "absent": result.absent,
                "missed": result.missed,
                "contestants": {
                    name: {
                        "notes": result.notes.get(name, ""),
                        "median": _medians(list(samples.values())),
                        "reference_is_times_as_fast": _median_json(result.ratios(name)),
                        "reference_is_times_as_fast_durable": _median_json(
                            result.ratios(name, durable=True)
                        ),
                        "figures": {
                            column.key: _figures_json(result.figures(column, name))
                            for column in result.columns
                        },
                        "rounds": [_sample_json(sample) for sample in samples.values()],
                    }
                    for name, samples in result.samples.items()
                },
            }
            for result in results
        ]
        + list(others),
    }


HEADINGS = (
    "contestant",
    "MiB/s",
    "spread",
    "durable",
    "s",
    "CPU s/GiB src",
    "rcv",
    "RSS MiB src",
    "rcv",
    "seed sent",
    "ours/it",
    "durable",
)


def table(result: Results) -> str:
    """A table in Markdown: medians, and how many times as fast the reference was."""
    rows = [[*HEADINGS, *(column.heading for column in result.columns)]]
    order = sorted(
        result.samples, key=lambda name: -_median([s.mib_per_s for s in _all(result, name)])
    )
    for name in order:
        samples = _all(result, name)
        speeds = [sample.mib_per_s for sample in samples]
        sent = [s.seed_bytes_sent / MIB for s in samples if s.seed_bytes_sent is not None]
        median = _medians(samples)
        ratios, durable = result.ratios(name), result.ratios(name, durable=True)
        is_compared = bool(ratios) and name != result.reference
        rows.append(
            [
                name,
                f"{median['mib_per_s']:.0f}",
                f"{min(speeds):.0f}–{max(speeds):.0f}",  # noqa: RUF001
                f"{median['durable_mib_per_s']:.0f}",
                f"{median['seconds']:.2f}",
                f"{median['source_cpu_s_per_gib']:.2f}",
                f"{median['receiver_cpu_s_per_gib']:.2f}",
                f"{median['source_peak_rss_mib']:.0f}",
                f"{median['receiver_peak_rss_mib']:.0f}",
                f"{_median(sent):.0f} MiB" if sent else "",
                f"{_median(ratios):.2f}" if is_compared else "",
                f"{_median(durable):.2f}" if is_compared else "",
                *(_cell(result.figures(column, name), column) for column in result.columns),
            ]
        )
    absent = [
        f"{name}: no {'further ' if name in result.samples else ''}figures: {reason}"
        for name, reason in sorted(result.absent.items())
    ]
    heading = f"{result.suite}: {result.conditions}"
    return "\n".join([heading, "", *markdown(rows), *absent, *result.missed])


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose first row has the headings and whose first column is text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        "| " + " | ".join(_align(cell, width, at) for at, (cell, width) in enumerate(cells)) + " |"
        for cells in ([*zip(row, widths, strict=True)] for row in rows)
    ]
    rule = [
        ("-" * width if at == 0 else "-" * (width - 1) + ":") for at, width in enumerate(widths)
    ]
    aligned.insert(1, "| " + " | ".join(rule) + " |")
    return aligned


def _all(result: Results, name: str) -> list[Sample]:
    return list(result.samples[name].values())


def _cell(figures: Sequence[float], column: Column) -> str:
    """The median, and between which figures it lies where that is not the same."""
    if not figures:
        return ""
    low, median, high = (
        f"{figure:.{column.decimals}f}" for figure in (min(figures), _median(figures), max(figures))
    )
    return median if low == high else f"{median} ({low} to {high})"


def _align(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _medians(samples: Sequence[Sample]) -> dict[str, float]:
    each = [_derived(sample) for sample in samples]
    return {key: _median([derived[key] for derived in each]) for key in each[0]}


def _derived(sample: Sample) -> dict[str, float]:
    gib = sample.bytes / GIB
    return {
        "mib_per_s": sample.mib_per_s,
        "durable_mib_per_s": sample.durable_mib_per_s,
        "seconds": sample.seconds,
        "sync_seconds": sample.sync_seconds,
        "source_cpu_s_per_gib": sample.sources.cpu_s / gib,
        "receiver_cpu_s_per_gib": sample.receivers.cpu_s / gib,
        "source_peak_rss_mib": sample.sources.peak_rss_bytes / MIB,
        "receiver_peak_rss_mib": sample.receivers.peak_rss_bytes / MIB,
    }


def _sample_json(sample: Sample) -> JsonObject:
    derived: JsonObject = {**_derived(sample)}
    if sample.seed_bytes_sent is not None:
        derived["seed_bytes_sent"] = sample.seed_bytes_sent
    return {**derived, **sample.figures}


def _figures_json(figures: Sequence[float]) -> JsonObject:
    return {"median": _median_json(figures), "rounds": list(figures)}


def _median_json(values: Sequence[float]) -> float | None:
    """JSON has no word for what is not a number."""
    return statistics.median(values) if values else None


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")
