"""The report page in a real browser: opened, searched, clicked, zoomed, and with many records."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright
from test_report import HOSTILE, case
from written_history import ALPHA_ID, WrittenHistory, two_peers

from lanspread_harness.errors import ScenarioError
from lanspread_harness.evidence import take_evidence
from lanspread_harness.report import packing
from lanspread_harness.report.page import RunFacts, write_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from lanspread_harness.report.page import Case

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium on PATH, and CHROMIUM names none"
)

MANY = packing.MAX_ENTRIES_FAILED
EXTRA = 500

# Whether some pixel of the canvas has exactly this colour of the style sheet.
HAS_COLOUR = """(name) => {
  const canvas = document.getElementById("canvas");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const probe = copy.getContext("2d", { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data;
  probe.drawImage(canvas, 0, 0);
  const image = probe.getImageData(0, 0, copy.width, copy.height);
  for (let i = 0; i < image.data.length; i += 4)
    if ([0, 1, 2].every((k) => image.data[i + k] === wanted[k])) return true;
  return false;
}"""


@dataclass
class Opened:
    """A page, and everything it complained about or asked the network for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def show(self, report: Path, fragment: str = "") -> Page:
        self.page.goto(f"{report.as_uri()}{fragment}")
        return self.page

    def settled(self, anchor: str) -> Page:
        """Wait until the timeline of a scenario is drawn."""
        self.page.wait_for_selector(f'#workbench[data-ready="{anchor}"]')
        return self.redrawn(after=0)

    @property
    def times_drawn(self) -> int:
        return int(self.page.get_attribute("#canvas", "data-drawn") or 0)

    def redrawn(self, after: int) -> Page:
        """Wait until the timeline was drawn more often than `after` times."""
        drawn = "(after) => Number(document.getElementById('canvas').dataset.drawn) > after"
        self.page.wait_for_function(drawn, arg=after)
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container there is often no sandbox; the page is our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """A window that must have nothing to complain about at the end."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True)
    window = Opened(context.new_page())
    page = window.page
    page.on("console", lambda said: window.complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: window.complaints.append(str(error)))
    page.on("dialog", lambda dialog: window.complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: window.requests.append(request.url))
    yield window
    context.close()
    assert window.complaints == []
    assert [url for url in window.requests if not url.startswith(("file:", "data:"))] == []


def failing(directory: Path) -> Case:
    """S07: alpha is killed while bravo fetches, and bravo knows too few peers."""
    history = two_peers()
    history.add(5_600, kind="fault", fault="SIGKILL", peer="alpha", run=1)
    history.add(5_700, kind="exit", peer="alpha", run=1, status="SIGKILL")
    history.event(5_800, "bravo", 4_800, "peer-lost", peer_id=ALPHA_ID, reason="timeout")
    history.add(6_000, kind="failure", expectation="bravo knows seventeen peers")
    history.write(directory / "S07")
    error = ScenarioError("bravo knows seventeen peers", ["found 0"])
    evidence = take_evidence(directory / "S07", error, "python3 run.py S07")
    return case(
        anchor="S07",
        scenario="S07",
        state="failed",
        failure=evidence.failure,
        timeline=evidence.timeline,
    )


@pytest.fixture
def report(tmp_path: Path) -> Path:
    two_peers().write(tmp_path / "S02")
    passed = case(timeline=take_evidence(tmp_path / "S02", None, "").timeline, duration_s=9.5)
    skipped = case(anchor="S15", scenario="S15", state="unsupported", reason="there is no link")
    path = tmp_path / "report.html"
    write_page(path, RunFacts("run-1", ("seed 7",)), [passed, failing(tmp_path), skipped])
    return path


def test_the_overview_is_sorted_and_filtered(opened: Opened, report: Path) -> None:
    page = opened.show(report)
    assert "1 of 3 failed" in page.inner_text("#totals")
    rows = page.locator("#cases tbody tr")
    assert [row.split("\t")[1] for row in rows.all_inner_texts()] == ["S07", "S02", "S15"]
    page.click("th >> text=Duration")
    assert "S02" in rows.first.inner_text()
    page.click("th >> text=Duration")
    assert "S02" in rows.last.inner_text()
    page.fill("#filter", "no link")
    page.wait_for_function("() => document.querySelectorAll('#cases tbody tr').length === 0")
    page.fill("#filter", "seventeen")
    assert "S07" in rows.first.inner_text()
    page.fill("#filter", "")
    page.click("#states >> text=passed")
    assert rows.count() == 2
    rows.first.click()
    opened.settled("S02" if "S02" in page.url else "S07")


def test_the_first_failure_is_marked(opened: Opened, report: Path) -> None:
    opened.show(report, "#S07")
    page = opened.settled("S07")
    failure = page.inner_text("#failure")
    for part in ("bravo knows seventeen peers", "found 0", "SIGKILL", "python3 run.py S07"):
        assert part in failure
    assert page.inner_text(".row.is-failure.selected").startswith("0.006000")
    assert page.evaluate(HAS_COLOUR, "--failed")
    page.click("#zoom-in")
    page.click("#zoom-in")
    page.click("#to-failure")
    assert page.url.endswith("#S07@13")


def test_a_passed_scenario_has_no_mark_of_failure(opened: Opened, report: Path) -> None:
    opened.show(report, "#S02")
    page = opened.settled("S02")
    assert not page.is_visible("#failure")
    assert not page.is_visible("#to-failure")
    assert not page.evaluate(HAS_COLOUR, "--failed")
    page.click("#detail >> text=alpha → bravo")
    assert "25 B (25 bytes)" in page.inner_text("#detail")
    page.keyboard.press("Escape")
    page.click("#detail >> text=bravo: download quake")
    assert "unfinished" in page.inner_text("#detail")


def test_search_finds_and_click_shows_the_whole_record(opened: Opened, report: Path) -> None:
    opened.show(report, "#S07")
    page = opened.settled("S07")
    page.fill("#search", "TIMEOUT")
    page.wait_for_function("() => document.querySelectorAll('.row').length === 1")
    assert page.inner_text("#search-count") == "1 of 13 records"
    page.click(".row")
    detail = page.inner_text("#detail")
    for part in ("peer-lost", '"reason": "timeout"', "alpha is aaaaaaaa", "earlier"):
        assert part in detail
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelectorAll('.row').length === 13")
    page.keyboard.press("n")
    assert "failure" in page.inner_text("#detail")


def test_the_keyboard_is_enough(opened: Opened, report: Path) -> None:
    opened.show(report)
    page = opened.page
    page.focus("#cases tbody tr:first-child a")
    page.keyboard.press("Enter")
    opened.settled("S07")
    page.keyboard.press("p")
    assert "peer-lost" in page.inner_text("#detail")
    page.keyboard.press("f")
    assert "seventeen" in page.inner_text("#detail h2")
    page.keyboard.press("/")
    page.keyboard.type("download-begin")
    page.keyboard.press("Enter")
    assert page.inner_text("#detail h2") == "download-begin"


def test_the_timeline_is_clicked_dragged_and_zoomed(opened: Opened, report: Path) -> None:
    opened.show(report, "#S07")
    page = opened.settled("S07")
    canvas = page.locator("#canvas")
    box = canvas.bounding_box()
    assert box is not None
    kinds = set()
    for down in range(40, int(box["height"]), 7):
        canvas.click(position={"x": box["width"] * 0.62, "y": down})
        kinds.add(page.inner_text("#detail h2"))
    assert "download of quake" in kinds
    before = page.screenshot()
    canvas.hover(position={"x": box["width"] / 2, "y": 60})
    drawn = opened.times_drawn
    page.mouse.wheel(0, -600)
    zoomed = opened.redrawn(drawn).screenshot()
    page.mouse.down()
    drawn = opened.times_drawn
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    page.mouse.up()
    assert len({before, zoomed, opened.redrawn(drawn).screenshot()}) == 3


def test_a_scenario_that_did_not_run_says_why(opened: Opened, report: Path) -> None:
    page = opened.show(report, "#s15")
    assert "there is no link" in page.inner_text("#case-notice")
    assert not page.is_visible("#workbench")


def test_both_themes_and_a_small_window(opened: Opened, report: Path) -> None:
    opened.show(report, "#S07")
    page = opened.settled("S07")
    light = page.evaluate("getComputedStyle(document.body).color")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).color") != light
    drawn = opened.times_drawn
    page.set_viewport_size({"width": 380, "height": 700})
    opened.redrawn(drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_hostile_records_are_shown_as_they_are(opened: Opened, tmp_path: Path) -> None:
    history = WrittenHistory()
    history.event(10, "alpha", 1, HOSTILE, text=HOSTILE, deep={HOSTILE: [HOSTILE]})
    history.add(15, kind="fault", fault=HOSTILE, peer="alpha", run=1)
    history.add(20, kind="note", text=HOSTILE)
    history.add(30, kind="failure", expectation=HOSTILE)
    history.write(tmp_path / "S03")
    error = ScenarioError(HOSTILE, [HOSTILE])
    evidence = take_evidence(tmp_path / "S03", error, HOSTILE)
    hostile = case(
        anchor="S03",
        scenario="S03",
        promise=HOSTILE,
        state="failed",
        failure=evidence.failure,
        timeline=evidence.timeline,
    )
    write_page(tmp_path / "report.html", RunFacts("run", (HOSTILE,)), [hostile])
    opened.show(tmp_path / "report.html")
    assert "</script><script>alert(1)" in opened.page.inner_text("#cases")
    opened.page.click("#cases tbody tr")
    page = opened.settled("S03")
    page.keyboard.press("p")
    page.keyboard.press("p")
    page.keyboard.press("p")
    assert "alert(1)" in page.inner_text("#detail pre")
    assert page.locator("main script").count() == 0


def test_a_browser_without_decompression_shows_the_same(opened: Opened, report: Path) -> None:
    opened.page.add_init_script("delete globalThis.DecompressionStream")
    opened.show(report, "#S07")
    page = opened.settled("S07")
    assert page.evaluate("typeof DecompressionStream") == "undefined"
    assert page.inner_text("#search-count") == "13 records"


@pytest.fixture(scope="module")
def big_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of more records than it may hold."""
    directory = tmp_path_factory.mktemp("big")
    history = two_peers()
    for number in range(MANY + EXTRA - len(history.lines) - 1):
        at_us = 10_000 + number * 100
        history.event(at_us, "alpha", at_us - 500, "peer-updated", number=number, note="x" * 120)
    history.add(10_000 + MANY * 100, kind="failure", expectation="it ends")
    history.write(directory / "S54")
    evidence = take_evidence(directory / "S54", ScenarioError("it ends"), "run")
    big = case(anchor="S54", scenario="S54", timeline=evidence.timeline)
    write_page(directory / "report.html", RunFacts("run", ()), [big])
    return directory / "report.html"


@pytest.mark.parametrize("native", [True, False])
def test_a_hundred_thousand_records_are_drawn_and_found(
    opened: Opened, big_report: Path, *, native: bool
) -> None:
    if not native:
        opened.page.add_init_script("delete globalThis.DecompressionStream")
    opened.show(big_report, "#S54")
    page = opened.settled("S54")
    assert page.inner_text("#search-count") == f"{MANY:,} records"
    assert f"{EXTRA:,} of {MANY + EXTRA:,} records are left out" in page.inner_text("#case-notice")
    assert page.evaluate(HAS_COLOUR, "--event")
    assert page.locator(".row").count() < 100
    page.fill("#search", '"number": 77777,')
    page.wait_for_function("() => document.querySelectorAll('.row').length === 1")
    page.click(".row")
    assert '"number": 77777' in page.inner_text("#detail")
    page.keyboard.press("Escape")
    for _ in range(14):
        drawn = opened.times_drawn
        page.click("#zoom-in")
        opened.redrawn(drawn)
    assert page.evaluate(HAS_COLOUR, "--event")
