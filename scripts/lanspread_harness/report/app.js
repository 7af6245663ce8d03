// Ties the parts together: which scenario is open, what is searched, what is selected.

const KIND_GROUPS = [
  { title: "commands", colour: "command", kinds: ["command"] },
  { title: "results", colour: "result", kinds: ["result"] },
  { title: "errors", colour: "error", kinds: ["error", "failure", "other"] },
  { title: "events", colour: "event", kinds: ["event", "ready"] },
  { title: "progress", colour: "progress", kinds: ["progress"] },
  { title: "faults", colour: "fault", kinds: ["fault"] },
  { title: "life", colour: "life", kinds: ["start", "exit", "note"] },
];
const SEARCH_PAUSE_MS = 120;

const byId = (id) => document.getElementById(id);
const index = JSON.parse(byId("index").textContent);

class CasePage {
  constructor() {
    this.shownKinds = new Set(KIND_GROUPS.flatMap((group) => group.kinds));
    this.timeline = new Timeline(byId("canvas"), {
      select: (found) => this.select(found),
      hover: (found, x, y) => this.hover(found, x, y),
    });
    this.list = new RecordList(byId("list"), byId("list-space"), (row) => this.select({ row }));
    byId("kinds").replaceChildren(...KIND_GROUPS.map((group) => this.kindChip(group)));
    byId("zoom-in").addEventListener("click", () => this.timeline.zoom(0.5));
    byId("zoom-out").addEventListener("click", () => this.timeline.zoom(2));
    byId("zoom-fit").addEventListener("click", () => this.timeline.fit());
    byId("to-failure").addEventListener("click", () => this.goToFailure());
    byId("search").addEventListener("input", () => {
      clearTimeout(this.searching);
      this.searching = setTimeout(() => this.search(), SEARCH_PAUSE_MS);
    });
    byId("search").addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(this.searching);
      this.search();
      this.step(event.shiftKey ? -1 : 1);
    });
    document.addEventListener("keydown", (event) => this.key(event));
    this.drawLegend();
  }

  kindChip(group) {
    const chip = toggle(group.title, "", true, (on) => {
      for (const kind of group.kinds) if (on) this.shownKinds.add(kind); else this.shownKinds.delete(kind);
      this.search();
    });
    chip.querySelector(".dot").style.color = `var(--${group.colour})`;
    return chip;
  }

  drawLegend() {
    const bars = ["download", "update", "install", "uninstall", "remove", "stream-install"].map((name) => {
      const swatch = element("i");
      swatch.style.color = `var(--${name})`;
      return element("span", {}, swatch, name);
    });
    byId("legend").replaceChildren(...bars);
  }

  /** @param {any} c one of the index @param {string} line of the history to select, or empty */
  async open(c, line) {
    if (this.current === c) { this.selectLine(line); return; }
    this.current = c;
    this.model = null;
    byId("case-title").replaceChildren(element("span", { class: "id" }, c.scenario), ...withCode(c.promise));
    byId("case-facts").replaceChildren(...caseFacts(c));
    this.drawNeighbours(c);
    this.drawFailure(c);
    byId("search").value = "";
    byId("detail").replaceChildren();
    byId("workbench").hidden = !c.data;
    const notice = c.data ? "" : `Nothing to draw: ${c.reason ?? "no history was written"}.`;
    this.note(notice);
    if (!c.data) return;
    try {
      const model = modelOf(await textOfPacked(byId(c.data).textContent));
      if (this.current !== c) return;
      this.show(model, line);
    } catch (error) {
      byId("workbench").hidden = true;
      this.note(`The timeline cannot be shown: ${error.message}.`);
    }
  }

  show(model, line) {
    this.model = model;
    const { head } = model;
    const said = [];
    if (head.left_out) {
      said.push(`${head.left_out.count.toLocaleString("en")} of ${head.total.toLocaleString("en")} records are left out after the
        first ${head.left_out.after_row.toLocaleString("en")}; bars, arrows and faults are of all of them.`);
    }
    if (head.unreadable) said.push(`${head.unreadable} lines of the history could not be read.`);
    this.note(said.join(" "));
    const rows = matchingRows(model, "", this.shownKinds);
    this.timeline.show(model, rows);
    this.list.selected = -1;
    byId("list").scrollTop = 0;
    this.list.show(model, rows);
    byId("search-count").textContent = `${model.count.toLocaleString("en")} records`;
    byId("to-failure").hidden = this.timeline.failureRow() < 0;
    byId("canvas").setAttribute("aria-label",
      `Timeline of ${head.peers.length} peers over ${durationText(head.end_us)}; the list below has the same records`);
    this.drawClocks(head);
    byId("detail").replaceChildren(...summaryOf(model, (found) => this.select(found)));
    if (line) this.selectLine(line);
    else if (this.timeline.failureRow() >= 0) this.select({ row: this.timeline.failureRow() }, true);
    byId("workbench").dataset.ready = this.current.anchor;
  }

  note(text) {
    byId("case-notice").hidden = !text;
    byId("case-notice").textContent = text;
  }

  selectLine(line) {
    const row = this.model?.rowOfLine.get(Number(line));
    if (row !== undefined) this.select({ row });
  }

  drawNeighbours(c) {
    const at = index.cases.indexOf(c);
    const links = [["Previous", index.cases[at - 1]], ["Next", index.cases[at + 1]]]
      .filter(([, other]) => other)
      .map(([text, other]) => element("a", { href: `#${other.anchor}`, title: other.promise }, `${text}: ${other.anchor}`));
    byId("neighbours").replaceChildren(...links);
  }

  drawFailure(c) {
    const box = byId("failure");
    box.hidden = !c.expectation;
    if (!c.expectation) return;
    const block = (title, lines) => (lines.length ? [element("h3", {}, title), element("pre", {}, lines.join("\n"))] : []);
    const copy = element("button", { type: "button", onclick: () => copyText(c.command, copy) }, "Copy");
    box.replaceChildren(
      element("h2", {}, element("span", {}, "Expected"), c.expectation),
      ...block("Instead", c.evidence),
      ...block("What came before", c.records),
      element("div", { class: "again" }, element("code", {}, c.command), copy));
  }

  drawClocks(head) {
    const cells = (tag, values) => element("tr", {}, ...values.map((value) => element(tag, {}, value)));
    const rows = head.runs.map((run) => cells("td", [
      run.peer, String(run.run), momentText(run.begin_us), run.end_us === null ? "not seen" : momentText(run.end_us), run.status ?? "",
      run.error_us === null ? "unknown" : durationText(run.error_us),
    ]));
    byId("clocks").replaceChildren(cells("th", ["peer", "run", "began", "ended", "status", "earlier by at most"]), ...rows);
  }

  search() {
    if (!this.model) return;
    const rows = matchingRows(this.model, byId("search").value.trim(), this.shownKinds);
    this.timeline.setRows(rows);
    this.list.show(this.model, rows);
    const all = this.model.count;
    byId("search-count").textContent = rows.length === all ? `${all.toLocaleString("en")} records`
      : `${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")} records`;
  }

  /** The next or previous of the listed rows. */
  step(by) {
    const { rows, selected } = this.list;
    if (!rows.length) return;
    const at = this.list.indexOf(selected);
    const onIt = rows[at] === selected;
    const next = by > 0 ? (onIt ? at + 1 : selected < 0 ? 0 : at) : at - 1;
    this.select({ row: rows[Math.min(Math.max(next, 0), rows.length - 1)] });
  }

  select(found, quietly = false) {
    this.timeline.select(found);
    const at = found.operation?.begin_us ?? found.transfer?.begin_us;
    if (at !== undefined) this.timeline.reveal(at);
    byId("detail").replaceChildren(...detailOf(this.model, found, (row) => this.select({ row })));
    byId("detail").scrollTop = 0;
    if (found.row === undefined) return;
    this.list.mark(found.row);
    if (!quietly) this.timeline.reveal(this.model.at[found.row]);
    const anchor = `#${this.current.anchor}@${this.model.line[found.row]}`;
    if (!quietly) history.replaceState(null, "", anchor);
  }

  goToFailure() {
    const row = this.timeline.failureRow();
    if (row >= 0) this.select({ row });
  }

  hover(found, x, y) {
    const tip = byId("tip");
    tip.hidden = !found;
    if (!found) return;
    const [title, when] = tipOf(this.model, found);
    tip.replaceChildren(element("b", {}, title), element("div", {}, when));
    const room = byId("timeline").clientWidth;
    tip.style.left = `${Math.max(4, Math.min(x + 14, room - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 16, this.timeline.height - tip.offsetHeight - 4))}px`;
  }

  key(event) {
    if (byId("case").hidden || !this.model || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.tagName === "INPUT";
    if (event.key === "Escape") { this.clear(); return; }
    if (typing) return;
    const moves = {
      ArrowLeft: () => this.timeline.pan(-120), ArrowRight: () => this.timeline.pan(120),
      ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), n: () => this.step(1), p: () => this.step(-1),
      "+": () => this.timeline.zoom(0.6), "=": () => this.timeline.zoom(0.6), "-": () => this.timeline.zoom(1 / 0.6),
      0: () => this.timeline.fit(), f: () => this.goToFailure(), "/": () => byId("search").focus(),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  /** First ends a search, which leaves what it found among its neighbours; then the selection. */
  clear() {
    byId("canvas").focus();
    if (byId("search").value) {
      byId("search").value = "";
      this.search();
      if (this.list.selected >= 0) this.list.mark(this.list.selected);
      return;
    }
    byId("detail").replaceChildren(...summaryOf(this.model, (found) => this.select(found)));
    this.timeline.select(null);
    this.list.mark(-1);
    history.replaceState(null, "", `#${this.current.anchor}`);
  }
}

function caseFacts(c) {
  const facts_ = [element("span", { class: `state ${classOfState(c.state)}` }, c.state), c.backend];
  if (index.cases.some((other) => other.repeat > 1)) facts_.push(`repeat ${c.repeat}`);
  if (c.duration_s) facts_.push(`${c.duration_s.toFixed(2)} s`);
  if (c.entries) facts_.push(`${c.entries.toLocaleString("en")} entries`);
  return facts_.map((fact) => (typeof fact === "string" ? element("span", {}, fact) : fact));
}

/** Copies where the browser lets a local file do so; else selects the text, to be copied by hand. */
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
  }
}

function storedTheme() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.documentElement.style.colorScheme = theme;
  casePage.timeline.redraw();
}

const casePage = new CasePage();
const overview = new Overview(index, (c) => { location.hash = c.anchor; });

/** Shows what the address names: a scenario by its anchor or its id, and after `@` a line of its history. */
function route() {
  const [name, line] = decodeURIComponent(location.hash.slice(1)).split("@");
  const wanted = name.toUpperCase();
  const found = index.cases.find((c) => c.anchor.toUpperCase() === wanted)
    ?? index.cases.find((c) => c.scenario === wanted && c.state === "failed")
    ?? index.cases.find((c) => c.scenario === wanted);
  byId("overview").hidden = Boolean(found);
  byId("case").hidden = !found;
  document.title = found ? `${found.scenario} ${found.state} – ${index.run}` : `Scenarios ${index.run}`;
  if (!found) { casePage.current = null; return; }
  window.scrollTo(0, 0);
  casePage.open(found, line);
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(storedTheme() ?? (prefersDark.matches ? "dark" : "light"));
prefersDark.addEventListener("change", () => { if (!storedTheme()) setTheme(prefersDark.matches ? "dark" : "light"); });
byId("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(theme);
  try { localStorage.setItem("theme", theme); } catch { /* A local file may not be allowed to remember. */ }
});
byId("run-facts").replaceChildren(...index.facts.map((fact) => element("span", {}, fact)));
window.addEventListener("hashchange", route);
route();
