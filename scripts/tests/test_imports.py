"""The modules of the harness import each other in one direction.

An import counts where it is executed: one below `if TYPE_CHECKING` is none. A room is a package or
a module directly below `lanspread_harness`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCRIPTS = Path(__file__).parents[1]
PACKAGE = "lanspread_harness"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "identity": set(),
    "output": set(),
    "schedule": set(),
    "timeline": set(),
    "report": {"timeline"},
    "trace": {"errors", "output", "timeline"},
    "backends": {
        "binary_under_test",
        "errors",
        "identity",
        "network_namespaces",
        "orphan_cleanup",
        "system_programs",
    },
    "faults": {
        "errors",
        "history",
        "identity",
        "network_namespaces",
        "orphan_cleanup",
        "output",
        "system_programs",
    },
}
"""All that these rooms may import. What decides and what reads histories knows nothing of what
runs; backends and faults know neither peers nor labs, and not each other."""

IMPORTED_ONLY_BY: dict[str, set[str]] = {
    "cli": set(),
    "pytest_plugin": set(),
    "pytest_lab": {"pytest_plugin"},
    "progress": {"cli"},
    "run_summary": {"cli", "progress"},
    "runner": {"cli", "progress", "run_summary"},
}
"""The entry points, and what is above labs: nothing below them knows them."""

Graph = dict[str, set[str]]


def sources() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted((SCRIPTS / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SCRIPTS).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def executed(node: ast.AST, *, deferred: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run with a module, and with `deferred` those of its functions too."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
        return
    children: list[ast.AST] = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children = list(node.orelse)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not deferred:
        return
    for child in children:
        yield from executed(child, deferred=deferred)


def imported(path: Path, *, deferred: bool) -> Iterator[str]:
    """The modules that a file names in its imports, of whatever package."""
    for node in executed(ast.parse(path.read_text(encoding="utf-8")), deferred=deferred):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in sources() else node.module or ""


@cache
def modules() -> Graph:
    """Which module imports which when it is imported, packages on the way to one included."""
    graph: Graph = {}
    for module, path in sources().items():
        named = {name for name in imported(path, deferred=False) if name in sources()}
        packages = {package for name in named for package in packages_of(name)}
        # A package that a module lies in is there before it.
        graph[module] = named | (packages - packages_of(module) - {module})
    return graph


@cache
def rooms() -> Graph:
    graph: Graph = {}
    for module, path in sources().items():
        own = graph.setdefault(room(module), set())
        named = imported(path, deferred=True)
        own |= {room(name) for name in named if name in sources()} - {room(module)}
    return graph


def packages_of(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(2, len(parts))}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle, or nothing where there is none."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for following in sorted(graph[name]):
            if found := follow(following, [*way, name]):
                return found
        done.add(name)
        return []

    for name in sorted(graph):
        if found := follow(name, []):
            return found
    return []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_modules_have_no_import_circle() -> None:
    assert len(modules()) > 60
    assert " -> ".join(circle(modules())) == ""


def test_rooms_have_no_import_circle() -> None:
    assert " -> ".join(circle(rooms())) == ""


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_low_room_imports_low_rooms_alone(name: str) -> None:
    assert rooms()[name] - MAY_IMPORT[name] == set()


@pytest.mark.parametrize("name", IMPORTED_ONLY_BY)
def test_a_high_room_is_imported_by_higher_ones_alone(name: str) -> None:
    importers = {other for other, named in rooms().items() if name in named}
    assert importers - IMPORTED_ONLY_BY[name] == set()


def test_only_the_plugin_needs_pytest_and_nothing_needs_the_benchmark() -> None:
    for module, path in sources().items():
        names = {name.partition(".")[0] for name in imported(path, deferred=True)}
        assert "lanspread_bench" not in names, module
        assert "pytest" not in names or room(module) in {"pytest_plugin", "pytest_lab"}, module
