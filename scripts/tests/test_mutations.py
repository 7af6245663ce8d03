"""The list of mutations fits the source; running them takes many builds and is done by hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lanspread_harness.cli import REPOSITORY, SCENARIOS
from lanspread_harness.scenario import discover

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    path = Path(__file__).parents[1] / "mutate.py"
    spec = importlib.util.spec_from_file_location("mutate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_mutation_has_its_place_and_its_scenarios(mutate: ModuleType) -> None:
    ids = {scenario.id for scenario in discover(SCENARIOS)}
    mutations = mutate.read_mutations(mutate.LIST)
    assert len({mutation.name for mutation in mutations}) == len(mutations) >= 10
    for mutation in mutations:
        assert set(mutation.scenarios) <= ids, mutation.name
        for edit in mutation.edits:
            text = (REPOSITORY / edit.file).read_text(encoding="utf-8")
            assert text.count(edit.find) == 1, f"{mutation.name}: {edit.file}"


def test_every_mutation_of_the_runner_has_its_place_and_its_tests(mutate: ModuleType) -> None:
    mutations = mutate.read_mutations(mutate.RUNNER_LIST)
    assert len({mutation.name for mutation in mutations}) == len(mutations) >= 5
    for mutation in mutations:
        for name in mutation.scenarios:
            file, _, test = name.partition("::")
            text = (Path(__file__).parent / file).read_text(encoding="utf-8")
            assert f"def {test}(" in text, name
        for edit in mutation.edits:
            text = (REPOSITORY / edit.file).read_text(encoding="utf-8")
            assert text.count(edit.find) == 1, f"{mutation.name}: {edit.file}"


def test_a_test_that_did_not_run_is_no_test_that_passed(mutate: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    head = '<testsuites><testsuite><testcase classname="scripts.tests.test_x" name="test_a[1]">'
    tail = "</testcase></testsuite></testsuites>"
    failed = '<failure message="assert 1 == 2&#10;more">trace</failure>'
    skipped = '<skipped message="not here" />'
    report.write_text(head + failed + tail)
    failures = mutate.failures_reported(report, ["test_x.py::test_a"])
    assert failures == {"test_x.py::test_a[1]": ["assert 1 == 2 more"]}
    for inside, wanted in (("", "test_x.py::test_b"), (skipped, "test_x.py::test_a")):
        report.write_text(head + inside + tail)
        with pytest.raises(mutate.MutationError, match="did not run"):
            mutate.failures_reported(report, [wanted])


def test_an_edit_is_made_where_its_place_is_unique(mutate: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.rs").write_text("one two one")
    assert mutate.apply(mutate.Edit("a.rs", "two", "2"), tmp_path) == "one two one"
    assert (tmp_path / "a.rs").read_text() == "one 2 one"
    for find in ("one", "three"):
        with pytest.raises(mutate.MutationError, match="times"):
            mutate.apply(mutate.Edit("a.rs", find, ""), tmp_path)


def test_only_the_expected_failure_counts(mutate: ModuleType) -> None:
    mutation = mutate.Mutation("m", "what", (), ("S01", "S02"), "the right reason")
    assert mutate.judge(mutation, {}).scenario is None
    assert (
        mutate.judge(mutation, {"S01": ["another reason", "a", "the right reason"]}).scenario
        is None
    )
    verdict = mutate.judge(mutation, {"S01": ["x"], "S02": ["for the right reason"]})
    assert (verdict.scenario, verdict.words) == ("S02", "for the right reason")


def test_a_scenario_that_did_not_run_is_no_scenario_that_passed(mutate: ModuleType) -> None:
    def printed(*events: Mapping[str, object]) -> bytes:
        return b"".join(json.dumps(event).encode() + b"\n" for event in events)

    passed = {"event": "scenario-finished", "scenario": "S01", "state": "passed", "failure": None}
    end = {"event": "run-finished"}
    assert mutate.failures_printed(printed(passed, end), ["S01"]) == {}
    skipped = {**passed, "state": "unsupported"}
    for lines in (printed(skipped, end), printed(end), printed(passed), b""):
        with pytest.raises(mutate.MutationError, match="the run tells nothing of"):
            mutate.failures_printed(lines, ["S01"])


def test_the_table_keeps_rows_of_other_mutations(
    mutate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = mutate.read_mutations(mutate.LIST)
    document = tmp_path / "scenarios.md"
    document.write_text(f"before\n{mutate.BEGIN}{mutate.END}after\n")
    monkeypatch.setattr(mutate, "DOCUMENT", document)
    mutate.write_table([mutate.Verdict(second, "S01", "it a | b")])
    mutate.write_table([mutate.Verdict(first, None, "all passed")])
    mutate.write_table([mutate.Verdict(second, "S02", "it holds")])
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows == [
        f"| {first.name} | {first.what} | — | all passed |",
        f"| {second.name} | {second.what} | S02 | it holds |",
    ]
