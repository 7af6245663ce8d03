"""What goes into the report page, and that nothing of it can break out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from written_history import WrittenHistory, two_peers

from lanspread_harness.report import packing
from lanspread_harness.report.packing import Packed, merged, pack
from lanspread_harness.report.page import MARKER, Case, RunFacts, render, write_page

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOSTILE = "</script><script>alert(1)</script><!-- {{style}} & ' \" \u2028 \U0001f600 \ud800"


def unpacked(packed: Packed) -> tuple[dict[str, Any], list[str]]:
    head, *texts = gzip.decompress(base64.b64decode(packed.text)).decode().split("\n")
    return json.loads(head), texts


def case(**changes: object) -> Case:
    values: dict[str, Any] = {
        "anchor": "S02",
        "scenario": "S02",
        "promise": "It holds.",
        "backend": "process",
        "repeat": 1,
        "state": "passed",
        "duration_s": 1.25,
        "reason": None,
        "failure": None,
        "timeline": None,
    }
    return Case(**{**values, **changes})


def test_a_packed_timeline_has_every_line_at_its_time(tmp_path: Path) -> None:
    history = two_peers()
    timeline = history.read(tmp_path)
    head, texts = unpacked(pack(timeline, failed=True))
    assert texts == [entry.text for entry in timeline.entries]
    times = [sum(head["at"][: row + 1]) for row in range(len(texts))]
    assert times == [entry.at_us for entry in timeline.entries]
    numbers = [sum(head["line"][: row + 1]) for row in range(len(texts))]
    assert numbers == [entry.line for entry in timeline.entries]
    assert [head["kinds"][kind] for kind in head["kind"]] == [e.kind for e in timeline.entries]
    assert [head["names"][name] for name in head["name"]] == [e.name for e in timeline.entries]
    assert [head["peers"][peer] for peer in head["peer"]] == [e.peer for e in timeline.entries]
    assert (head["total"], head["left_out"], head["end_us"]) == (9, None, 5_500)
    assert [transfer["bytes"] for transfer in head["transfers"]] == [25]


def test_a_long_history_is_cut_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_ENTRIES_PASSED", 20)
    history = two_peers()
    for number in range(91):
        history.event(6_000 + number, "bravo", 4_800 + number, "peer-updated")
    timeline = history.read(tmp_path)
    packed = pack(timeline, failed=False)
    head, texts = unpacked(packed)
    kept = [*timeline.entries[:2], *timeline.entries[-18:]]
    assert texts == [entry.text for entry in kept]
    assert head["left_out"] == {"count": 80, "after_row": 2}
    assert packed.entries == head["total"] == 100
    assert len(head["operations"]) == 1, "what lasts is told of the whole history"
    assert len(unpacked(pack(timeline, failed=True))[1]) == 100


def test_a_long_line_is_cut_and_says_so(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(10, "alpha", 1, "long", text="x" * 10_000)
    _, [text] = unpacked(pack(history.read(tmp_path), failed=False))
    assert len(text) < packing.MAX_TEXT_CHARS + 100
    assert "characters)" in text


def test_samples_are_added_up_without_losing_a_byte() -> None:
    samples = [(at, at % 7) for at in range(5_001)]
    found = merged(samples)
    assert isinstance(found, list)
    pairs = [pair for pair in found if isinstance(pair, list)]
    assert len(pairs) <= packing.MAX_SAMPLES
    assert sum(int(str(pair[1])) for pair in pairs) == sum(count for _, count in samples)
    assert pairs[-1][0] == 5_000
    assert merged([]) == []


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(10, "alpha", 1, HOSTILE, text=HOSTILE, deep={HOSTILE: [HOSTILE]})
    history.add(20, kind="note", text=HOSTILE)
    timeline = pack(history.read(tmp_path), failed=True)
    hostile = case(promise=HOSTILE, state="failed", reason=HOSTILE, timeline=timeline)
    facts = RunFacts(HOSTILE, (HOSTILE,))
    page = render(facts, [hostile])
    assert "alert(1)" not in page.replace("\\u003cscript\\u003ealert(1)\\u003c/script", "").replace(
        "&lt;script&gt;alert(1)&lt;/script", ""
    )
    plain = render(RunFacts("run", ()), [case(timeline=timeline)])
    assert page.count("<script") == plain.count("<script") == 3
    assert page.count("</script") == plain.count("</script")
    assert json.loads(page.split('id="index">')[1].split("</script>")[0])["run"] == HOSTILE


def test_the_policy_allows_just_what_the_page_holds() -> None:
    page = render(RunFacts("run", ()), [])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        source = page.rsplit(f"<{tag}>", 1)[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy[1]
    assert not re.search(r"(?:src|href)=\"(?!#)", page), "the page loads nothing"


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", RunFacts("run", ()), [case()])
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert not MARKER.search((tmp_path / "report.html").read_text(encoding="utf-8"))
