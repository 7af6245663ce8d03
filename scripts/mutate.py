#!/usr/bin/env python3
"""Breaks the product on purpose, and sees whether the scenarios notice.

Applies each mutation of `mutations.toml` to a copy of the checkout, builds it, and runs the
scenarios that must notice on that binary: one of them must fail, and say what is expected of it.
Before that they must all pass on the unchanged copy. `mutate.py NAME…` runs only mutations whose
names contain one of these; `--write` puts the table into `docs/scenarios.md`.

`--runner` does the same to the runner: the mutations of `runner_mutations.toml`, and its own tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bootstrap import REPOSITORY, enter_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FailuresIn: TypeAlias = "Callable[[Path, Sequence[str]], dict[str, list[str]]]"

LIST = REPOSITORY / "scripts" / "mutations.toml"
RUNNER_LIST = REPOSITORY / "scripts" / "runner_mutations.toml"
DOCUMENT = REPOSITORY / "docs" / "scenarios.md"
RUNNER = (
    "import sys; sys.path.insert(0, 'scripts'); from lanspread_harness.cli import main; "
    "sys.exit(main(sys.argv[1:]))"
)
"""The runner of the copy in the environment of this script: the checkout may change meanwhile."""
TARGET = REPOSITORY / "target" / "mutations"
"""Of its own, so that a mutated crate never ends up in the real binary."""

BEGIN = "<!-- begin of what mutate.py writes -->\n"
END = "<!-- end of what mutate.py writes -->\n"

HEAD = "| mutation | what is broken | who notices | what it expected in vain |"

RUNNER_BEGIN = "<!-- begin of what mutate.py --runner writes -->\n"
RUNNER_END = "<!-- end of what mutate.py --runner writes -->\n"
REASON_CHARS = 240
"""How much of why a test failed is looked at, and told."""

RUNNER_HEAD = "| mutation | what is broken | which test notices | why it fails |"

CARGO_CONFIG = """\
[profile.release]
incremental = true

[profile.release.package.lanspread-peer]
opt-level = 1

[profile.release.package.lanspread-peer-cli]
opt-level = 1
"""
"""Only the crates that mutations change are built again and again, so they are built quickly."""


PEER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Table:
    """A list of mutations, and the table of the document that tells what came of them."""

    list: Path
    begin: str
    end: str
    head: str


PRODUCT = Table(LIST, BEGIN, END, HEAD)
OWN = Table(RUNNER_LIST, RUNNER_BEGIN, RUNNER_END, RUNNER_HEAD)


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of the source and what it becomes."""

    file: str
    find: str
    replace: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """One way to break something, and who must notice: ids of scenarios, or of tests."""

    name: str
    what: str
    edits: tuple[Edit, ...]
    scenarios: tuple[str, ...]
    expect: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutation: who noticed it, and in which words."""

    mutation: Mutation
    scenario: str | None
    words: str


class MutationError(Exception):
    """A mutation cannot be applied or built."""


def arguments() -> argparse.Namespace:
    """The arguments; ends the process where they are wrong, or ask for help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only those; all if none")
    parser.add_argument("--write", action="store_true", help="write the table of docs/scenarios.md")
    parser.add_argument("--runner", action="store_true", help="break the runner, not the product")
    options = parser.parse_args()
    if not chosen(options):
        parser.error(f"no mutation has {' or '.join(options.names)} in its name")
    return options


def main() -> int:
    """Run the mutations and return 0 when all were noticed."""
    options = arguments()
    table = OWN if options.runner else PRODUCT
    mutations = chosen(options)
    copy = copy_checkout(TARGET / ("runner" if options.runner else "checkout"))
    wanted = sorted({name for mutation in mutations for name in mutation.scenarios})
    failures_in = run_tests if options.runner else build_and_run
    failures = failures_in(copy, wanted)
    if failures:
        print(f"unchanged: {failures}", file=sys.stderr)
        return 1
    print(f"unchanged: {', '.join(wanted)} pass", flush=True)
    verdicts: list[Verdict] = []
    for verdict in judge_all(copy, mutations, failures_in):
        verdicts.append(verdict)
        if options.write:
            # After each, as a full run takes an hour on two busy cores.
            write_table(verdicts, table)
    unnoticed = [verdict.mutation.name for verdict in verdicts if verdict.scenario is None]
    print(f"{len(verdicts) - len(unnoticed)} noticed, {len(unnoticed)} not", flush=True)
    return 1 if unnoticed else 0


def read_mutations(path: Path) -> list[Mutation]:
    """The list."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    return [
        Mutation(
            name=entry["name"],
            what=entry["what"],
            edits=tuple(
                Edit(edit["file"], edit["find"], edit["replace"])
                for edit in [entry, *entry.get("also", [])]
            ),
            scenarios=tuple(entry.get("scenarios") or entry["tests"]),
            expect=entry["expect"],
        )
        for entry in entries
    ]


def apply(edit: Edit, checkout: Path) -> str:
    """Make an edit, and return what the file was before."""
    path = checkout / edit.file
    before = path.read_text(encoding="utf-8")
    if before.count(edit.find) != 1:
        raise MutationError(f"{edit.file} has {before.count(edit.find)} times: {edit.find}")
    path.write_text(before.replace(edit.find, edit.replace), encoding="utf-8")
    return before


def judge_all(
    copy: Path, mutations: Sequence[Mutation], failures_in: FailuresIn
) -> Iterator[Verdict]:
    """Apply, try, and undo each mutation."""
    for mutation in mutations:
        before = [(edit.file, apply(edit, copy)) for edit in mutation.edits]
        try:
            verdict = judge(mutation, failures_in(copy, mutation.scenarios))
        finally:
            for file, text in reversed(before):
                (copy / file).write_text(text, encoding="utf-8")
        noticed = verdict.scenario or "NOT NOTICED"
        print(f"{noticed:<11} {mutation.name}: {verdict.words}", flush=True)
        yield verdict


def judge(mutation: Mutation, failures: dict[str, list[str]]) -> Verdict:
    """Whether a scenario failed for the right reason; the words are what it expected in vain."""
    for scenario, lines in failures.items():
        if any(mutation.expect in line for line in lines[:2]):
            return Verdict(mutation, scenario, lines[0])
    return Verdict(mutation, None, f"{failures or 'all passed'}")


def chosen(options: argparse.Namespace) -> list[Mutation]:
    """The mutations of the table that have one of the names; all of them if none is given."""
    table = OWN if options.runner else PRODUCT
    return [
        mutation
        for mutation in read_mutations(table.list)
        if not options.names or any(name in mutation.name for name in options.names)
    ]


def copy_checkout(directory: Path) -> Path:
    """Bring the copy in line with what is in the working tree and known to git.

    What is the same already is left alone, so that cargo need not build it again.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().split("\0") if (REPOSITORY / name).is_file()]
    wanted = {directory / name: (REPOSITORY / name).read_bytes() for name in names}
    wanted[directory / ".cargo" / "config.toml"] = CARGO_CONFIG.encode()
    for path in directory.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for name in names:
        (directory / name).chmod((REPOSITORY / name).stat().st_mode & 0o777)
    return directory


def build(checkout: Path) -> Path:
    """Build the binary of a copy."""
    from lanspread_harness.build import build_binary
    from lanspread_harness.errors import EnvironmentLackingError

    os.environ["CARGO_TARGET_DIR"] = str(TARGET)
    try:
        return build_binary(checkout)
    except EnvironmentLackingError as error:
        raise MutationError(str(error)) from error


def build_and_run(checkout: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The failures of scenarios on the binary of a copy."""
    return run_scenarios(checkout, build(checkout), names)


def run_tests(checkout: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Run tests of the runner of a copy; of each that failed, why."""
    report = checkout / "tests.xml"
    report.unlink(missing_ok=True)
    tests = [str(checkout / "scripts" / "tests" / name) for name in names]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
    ran = subprocess.run(
        [*command, *tests], cwd=checkout, capture_output=True, text=True, check=False
    )
    if ran.returncode not in (0, 1) or not report.exists():
        raise MutationError(
            f"pytest ends with {ran.returncode}: {(ran.stdout + ran.stderr)[-1000:]}"
        )
    return failures_reported(report, names)


def failures_reported(report: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The failures in a JUnit file of pytest, in which none of these tests may be missing."""
    failures: dict[str, list[str]] = {}
    ran: set[str] = set()
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        file = case.get("classname", "").rpartition(".")[2]
        test = f"{file}.py::{case.get('name', '')}"
        if case.find("skipped") is None:
            ran.add(test.partition("[")[0])
        for failure in [*case.findall("failure"), *case.findall("error")]:
            # An assertion tells what was not equal some lines below its first one.
            failures[test] = [" ".join((failure.get("message") or "").split())[:REASON_CHARS]]
    missing = sorted({name.partition("[")[0] for name in names} - ran)
    if missing:
        raise MutationError(f"these tests did not run: {', '.join(missing)}")
    return failures


def run_scenarios(checkout: Path, binary: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Run scenarios on a binary; of each that failed, what it expected and its evidence."""
    command = [sys.executable, "-c", RUNNER, "--binary", str(binary), "--json", *names]
    printed = subprocess.run(
        command, cwd=checkout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )
    if printed.returncode not in (0, 1):
        raise MutationError(f"the runner ends with {printed.returncode}")
    return failures_printed(printed.stdout, names)


def failures_printed(printed: bytes, names: Sequence[str]) -> dict[str, list[str]]:
    """The failures in the runner's lines, which must tell how each of these scenarios ended."""
    failures: dict[str, list[str]] = {}
    ended: set[str] = set()
    events = [json.loads(line) for line in printed.splitlines()]
    for event in events:
        if event["event"] == "scenario-finished" and event["state"] in ("passed", "failed"):
            ended.add(event["scenario"])
            if event["failure"] is not None:
                failure = event["failure"]
                failures[event["scenario"]] = [failure["expected"], *failure["evidence"]]
    if not events or events[-1]["event"] != "run-finished" or not ended.issuperset(names):
        missing = sorted(set(names) - ended)
        raise MutationError(f"the run tells nothing of {', '.join(missing) or 'its end'}")
    return failures


def write_table(verdicts: Sequence[Verdict], table: Table = PRODUCT) -> None:
    """Put rows into the table of the document; those of other mutations stay as they are."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(table.begin)
    written, _, after = rest.partition(table.end)
    rows = {name_of(line): line for line in written.splitlines() if line.startswith("| ")}
    for verdict in verdicts:
        name, what = cell(verdict.mutation.name), cell(verdict.mutation.what)
        # Why a test failed has paths of one machine around what is expected of it.
        reason = verdict.mutation.expect if verdict.scenario and table is OWN else verdict.words
        rows[name] = f"| {name} | {what} | {verdict.scenario or '—'} | {cell(reason)} |"
    known = [rows[cell(m.name)] for m in read_mutations(table.list) if cell(m.name) in rows]
    lines = [table.head, "| --- | --- | --- | --- |", *known]
    text = "".join(f"{line}\n" for line in lines)
    DOCUMENT.write_text(f"{before}{table.begin}\n{text}\n{table.end}{after}", encoding="utf-8")


def name_of(row: str) -> str:
    """The first cell of a row."""
    return row.split(" | ", 1)[0].removeprefix("| ")


def cell(text: str) -> str:
    """Text for a cell of a table; ids of peers are other ones in each run."""
    return PEER_ID.sub("…", text).replace("|", "\\|")


if __name__ == "__main__":
    # The tests of the runner need what developers need.
    enter_environment("dev" if "--runner" in sys.argv else "run", check=arguments)
    from lanspread_harness.output import print_stderr, run_program

    try:
        sys.exit(run_program(main))
    except MutationError as failure:
        print_stderr(f"error: {failure}")
        sys.exit(1)
