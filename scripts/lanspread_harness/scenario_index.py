"""`scenarios/README.md`: the index of all scenarios, made from the scenarios themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanspread_harness.scenario import Scenario

HEAD = """\
# Scenarios

Each file proves one promise with several real peers. This index is made from them by
`python3 scripts/scenario_index.py`; ids never change, and new ones go at the end.

Run them all with `python3 scripts/run_extended_scenarios.py`, or some by id:
`python3 scripts/run_extended_scenarios.py S22 S25`. How to write one stands in
[scripts/README.md](../scripts/README.md).

| id | proves | needs |
| --- | --- | --- |
"""


def render_index(scenarios: Sequence[Scenario]) -> str:
    """The text of the index."""
    rows = [
        f"| [{scenario.id}]({scenario.path.name}) | {scenario.promise.replace('|', chr(92) + '|')} "
        f"| {', '.join(sorted(scenario.meta.needs))} |\n"
        for scenario in scenarios
    ]
    return HEAD + "".join(rows)
