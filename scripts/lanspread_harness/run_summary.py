"""The outcomes of a run as text, JUnit and report: a line for each scenario, a table, counts.

`progress` prints the lines, `cli` writes the files. Nothing here decides whether a run passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lanspread_harness.report.page import Case, RunFacts, write_page
from lanspread_harness.runner import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_harness.schedule import Job

LABELS = {
    State.PASSED: "PASS",
    State.FAILED: "FAIL",
    State.UNSUPPORTED: "UNSUPPORTED",
    State.NOT_RUN: "NOT RUN",
}


def finished_lines(outcome: Outcome) -> list[str]:
    """What is shown when a scenario has ended: one line, and for a failure all it takes."""
    scenario = outcome.scenario
    head = f"{LABELS[outcome.state]:<5} {outcome.job.label:<4} {outcome.duration_s:6.2f} s"
    lines = [f"{head}  {scenario.promise}"]
    if outcome.reason is not None:
        lines.append(f"      because {outcome.reason}")
    lines += [f"      measured   {figure}" for figure in outcome.figures]
    if outcome.failure is not None:
        failure = outcome.failure
        lines += [
            f"      promise    {scenario.promise}",
            *(f"      {line}" for line in failure.labelled),
            f"      artefacts  {failure.artefacts}",
            f"      report     {failure.report}",
            f"      run again  {failure.command}",
        ]
    return lines


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """All outcomes, one a line."""
    width = max(len(LABELS[outcome.state]) for outcome in outcomes)
    names = max(len(outcome.job.label) for outcome in outcomes)
    return [
        f"{outcome.job.label:<{names}} {outcome.backend:<8} {LABELS[outcome.state]:<{width}} "
        f"{outcome.duration_s:6.2f} s  {_seed(outcome.job)}{outcome.scenario.promise}"
        for outcome in outcomes
    ]


def flaky_ids(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The scenarios that passed in some repetitions and failed in others, with all of these."""
    by_id: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.state in (State.PASSED, State.FAILED):
            by_id.setdefault(outcome.scenario.id, []).append(outcome)
    return {
        name: repetitions
        for name, repetitions in by_id.items()
        if len({outcome.state for outcome in repetitions}) > 1
    }


def flakes(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each flaky scenario."""
    lines: list[str] = []
    for name, repetitions in flaky_ids(outcomes).items():
        failed = [str(o.job.seed) for o in repetitions if o.state is State.FAILED]
        share = f"{len(failed)} of {len(repetitions)}"
        lines.append(f"flaky  {name}: {share} repetitions failed, seeds {', '.join(failed)}")
    return lines


def longest_passed_s(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """How long the scenarios that passed took, by id."""
    durations_s: dict[str, float] = {}
    for outcome in outcomes:
        if outcome.state is State.PASSED:
            known_s = durations_s.get(outcome.scenario.id, 0)
            durations_s[outcome.scenario.id] = max(known_s, outcome.duration_s)
    return durations_s


def counts(outcomes: Sequence[Outcome]) -> str:
    """`N passed, N failed`, what did not end as unfinished, and what did not run as skipped."""
    states = [outcome.state for outcome in outcomes]
    text = f"{states.count(State.PASSED)} passed, {states.count(State.FAILED)} failed"
    unfinished = unfinished_count(outcomes)
    text += f", {unfinished} unfinished" if unfinished else ""
    skipped = skipped_count(outcomes)
    return f"{text}, {skipped} skipped" if skipped else text


def unfinished_count(outcomes: Sequence[Outcome]) -> int:
    """How many the end of the run left unfinished; of these nothing is known."""
    return sum(outcome.interrupted for outcome in outcomes)


def skipped_count(outcomes: Sequence[Outcome]) -> int:
    """How many did not run, for a reason that is known."""
    skipped = (State.UNSUPPORTED, State.NOT_RUN)
    return sum(outcome.state in skipped and not outcome.interrupted for outcome in outcomes)


def write_junit(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes in the format of JUnit; what did not end is an error."""
    states = [outcome.state for outcome in outcomes]
    suite = ET.Element(
        "testsuite",
        name="lanspread scenarios",
        tests=str(len(states)),
        failures=str(states.count(State.FAILED)),
        errors=str(unfinished_count(outcomes)),
        skipped=str(skipped_count(outcomes)),
        time=f"{sum(outcome.duration_s for outcome in outcomes):.3f}",
    )
    for outcome in outcomes:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"scenarios.{outcome.backend}",
            name=f"{outcome.job.label} {outcome.scenario.promise}",
            file=f"scenarios/{outcome.scenario.path.name}",
            time=f"{outcome.duration_s:.3f}",
        )
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", name="seed", value=str(outcome.job.seed))
        for figure in outcome.figures:
            ET.SubElement(properties, "property", name="measured", value=_xml(figure))
        if outcome.failure is not None:
            failure = ET.SubElement(case, "failure", message=_xml(outcome.failure.message))
            lines = [*outcome.failure.lines, f"run again: {outcome.failure.command}"]
            failure.text = _xml("\n".join(lines))
        elif outcome.reason is not None:
            kind = "error" if outcome.interrupted else "skipped"
            ET.SubElement(case, kind, message=_xml(outcome.reason))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def write_report(
    path: Path, run_id: str, words: Sequence[str], outcomes: Sequence[Outcome]
) -> None:
    """Write `report.html`; `words` say in a few words what else is to know of the run."""
    cases = [
        Case(
            anchor=outcome.job.label,
            scenario=outcome.scenario.id,
            promise=outcome.scenario.promise,
            backend=outcome.backend,
            repeat=outcome.job.repetition,
            state=outcome.state,
            duration_s=outcome.duration_s,
            reason=outcome.reason,
            failure=outcome.failure,
            timeline=outcome.timeline,
        )
        for outcome in outcomes
    ]
    write_page(path, RunFacts(run_id, tuple(words)), cases)


def _seed(job: Job) -> str:
    """Where repetitions differ by their seed, which it is."""
    return f"seed {job.seed:<10}  " if job.repetitions > 1 else ""


def _xml(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
