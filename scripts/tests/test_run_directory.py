"""What a killed run leaves is taken by the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lanspread_harness.errors import UsageError
from lanspread_harness.identity import runner_identity
from lanspread_harness.run_directory import OWNER, run_directory

if TYPE_CHECKING:
    from pathlib import Path


def test_disks_of_killed_runs_go_and_their_records_stay(tmp_path: Path) -> None:
    for run, owner in (("killed", f"{runner_identity()}0"), ("living", runner_identity())):
        peers = tmp_path / run / "S01" / "peers"
        peers.mkdir(parents=True)
        (tmp_path / run / OWNER).write_text(owner)
        (tmp_path / run / "S01" / "history.jsonl").touch()
    with run_directory(tmp_path, "now") as directory:
        assert (directory / OWNER).exists()
        assert not (tmp_path / "killed" / "S01" / "peers").exists()
        assert (tmp_path / "killed" / "S01" / "history.jsonl").exists()
        assert (tmp_path / "living" / "S01" / "peers").exists()
    assert not (directory / OWNER).exists()


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(UsageError, match="cannot be written"), run_directory(blocked, "now"):
        pass
