"""What peers take of the machine is told by their processes, whatever their program is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lanspread_harness.process_usage import find_pid, read_usage

if TYPE_CHECKING:
    from conftest import InLab

    from lanspread_harness.lab import Lab


def test_a_program_of_another_name_is_found(in_lab: InLab) -> None:
    async def body(lab: Lab) -> None:
        peers = [await lab.peer(name) for name in ("alpha", "bravo")]
        usages = read_usage(peers)
        assert set(usages) == set(peers)
        assert all(usage.rss_kib > 0 for usage in usages.values())
        assert len({find_pid(peer) for peer in peers}) == 2

    in_lab(body)


def test_what_is_counted_is_the_peer_and_not_what_it_was_started_with(
    in_lab: InLab, tmp_path: Path
) -> None:
    async def body(lab: Lab) -> None:
        alpha = await lab.peer("alpha")
        words = Path(f"/proc/{find_pid(alpha)}/cmdline").read_bytes().split(b"\0")
        assert str(tmp_path / "peers/alpha/state").encode() in words
        assert b"setpriv" not in words[0]

    in_lab(body)
