"""Games on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lanspread_harness.fixtures import (
    MIB,
    Bytes,
    Game,
    Noise,
    Sparse,
    tree_digest,
    write_catalog,
)

if TYPE_CHECKING:
    from pathlib import Path

GAME = Game("quake", {"a.eti": Noise(MIB + 7), "b/c": Sparse(3 * MIB + 1), "d": Bytes(b"x")}, 5)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = GAME.write(tmp_path / "one")
    second = GAME.write(tmp_path / "two")
    assert tree_digest(first) == tree_digest(second)
    assert set(tree_digest(first)) == {"a.eti", "b/c", "d", "version.ini"}
    sizes = sum(path.stat().st_size for path in first.rglob("*") if path.is_file())
    assert sizes == GAME.size + len(GAME.sentinel)


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    first = tree_digest(GAME.write(tmp_path / "one"))
    second = tree_digest(Game(GAME.id, GAME.files, 6).write(tmp_path / "two"))
    assert {name for name in first if first[name] != second[name]} == {"a.eti", "b/c"}


def test_no_two_pieces_of_a_sparse_file_are_alike(tmp_path: Path) -> None:
    data = (GAME.write(tmp_path) / "b/c").read_bytes()
    pieces = {data[start : start + MIB] for start in range(0, len(data), MIB)}
    assert len(pieces) == 4


def test_local_is_no_part_of_a_tree(tmp_path: Path) -> None:
    root = GAME.write(tmp_path)
    before = tree_digest(root)
    (root / "local").mkdir()
    (root / "local" / "save").write_text("mine")
    assert tree_digest(root) == before


def test_a_catalog_lists_the_games(tmp_path: Path) -> None:
    write_catalog(tmp_path / "catalog.json", [GAME])
    entry = {"id": "quake", "title": "Quake", "version": GAME.version}
    assert json.loads((tmp_path / "catalog.json").read_text()) == {"games": [entry]}
