// The first page: all scenarios of the run in a table that can be sorted and filtered.

const STATES = ["failed", "passed", "unsupported", "not run"];
const COLUMNS = [
  { key: "state", title: "State", value: (c) => STATES.indexOf(c.state) },
  { key: "scenario", title: "Scenario", value: (c) => [c.scenario, c.repeat] },
  { key: "promise", title: "Promise", value: (c) => c.promise },
  { key: "backend", title: "Backend", value: (c) => c.backend },
  { key: "repeat", title: "Repeat", value: (c) => c.repeat, number: true },
  { key: "duration_s", title: "Duration", value: (c) => c.duration_s, number: true },
  { key: "entries", title: "Entries", value: (c) => c.entries, number: true },
];

const classOfState = (state) => (state === "passed" || state === "failed" ? state : "skipped");

/** S9 before S10, whatever else stands beside the number. */
const compare = new Intl.Collator("en", { numeric: true }).compare;

class Overview {
  constructor(index, open) {
    this.cases = index.cases;
    this.open = open;
    this.sort = { key: "state", down: false };
    this.states = new Set(STATES);
    this.columns = COLUMNS.filter((column) => column.key !== "repeat" || this.cases.some((c) => c.repeat > 1));
    this.longest = Math.max(...this.cases.map((c) => c.duration_s), 1e-9);
    this.drawTotals(index);
    this.drawStates();
    document.querySelector("#cases thead tr").replaceChildren(...this.columns.map((column) => this.headCell(column)));
    document.getElementById("filter").addEventListener("input", () => this.draw());
    this.draw();
  }

  drawTotals({ cases }) {
    const count = (state) => cases.filter((c) => c.state === state).length;
    const skipped = count("unsupported") + count("not run");
    const said = count("failed") ? `${count("failed")} of ${cases.length} failed` : `${count("passed")} passed`;
    const title = element("h1", { class: count("failed") ? "failed" : "" }, skipped ? `${said}, ${skipped} skipped` : said);
    const bar = element("div", { class: "bar", "aria-hidden": "true" });
    for (const [state, number] of [["failed", count("failed")], ["passed", count("passed")], ["skipped", skipped]]) {
      if (!number) continue;
      const part = element("span", { class: state });
      part.style.flexGrow = String(number);
      bar.append(part);
    }
    document.getElementById("totals").replaceChildren(title, bar);
  }

  drawStates() {
    const chips = STATES.filter((state) => this.cases.some((c) => c.state === state)).map((state) => {
      const number = this.cases.filter((c) => c.state === state).length;
      return toggle(`${state} ${number}`, classOfState(state), true, (on) => {
        if (on) this.states.add(state); else this.states.delete(state);
        this.draw();
      });
    });
    document.getElementById("states").replaceChildren(...chips);
  }

  headCell(column) {
    const choose = () => {
      this.sort = { key: column.key, down: this.sort.key === column.key ? !this.sort.down : Boolean(column.number) };
      this.draw();
    };
    const cell = element("th", { scope: "col", class: column.number ? "number" : "" },
      element("button", { type: "button", onclick: choose }, column.title));
    cell.dataset.key = column.key;
    return cell;
  }

  /** The cases that are shown, in their order. */
  chosen() {
    const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const { value } = COLUMNS.find((column) => column.key === this.sort.key);
    const factor = this.sort.down ? -1 : 1;
    return this.cases
      .filter((c) => this.states.has(c.state))
      .filter((c) => words.every((word) => `${c.scenario} ${c.promise} ${c.backend} ${c.state} ${c.message ?? ""}`.toLowerCase().includes(word)))
      .map((c, index) => ({ c, index }))
      .sort((a, b) => factor * compare(String(value(a.c)), String(value(b.c))) || a.index - b.index)
      .map(({ c }) => c);
  }

  draw() {
    const cases = this.chosen();
    document.querySelector("#cases tbody").replaceChildren(...cases.map((c) => this.row(c)));
    document.getElementById("filter-count").textContent = cases.length === this.cases.length ? "" : `${cases.length} of ${this.cases.length}`;
    for (const cell of document.querySelectorAll("#cases th")) {
      if (cell.dataset.key === this.sort.key) cell.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }

  row(c) {
    const why = c.message ?? c.reason;
    const cells = {
      state: [element("span", { class: `state ${classOfState(c.state)}` }, c.state)],
      scenario: [c.scenario],
      promise: [element("a", { href: `#${c.anchor}` }, ...withCode(c.promise)),
        ...(why ? [element("small", { class: c.message ? "" : "skipped" }, why)] : [])],
      backend: [c.backend],
      repeat: [String(c.repeat)],
      duration_s: c.duration_s ? [`${c.duration_s.toFixed(2)} s`, this.lengthBar(c)] : ["–"],
      entries: [c.entries ? c.entries.toLocaleString("en") : "–"],
    };
    const row = element("tr", { onclick: (event) => { if (event.target.tagName !== "A") this.open(c); } });
    for (const column of this.columns) {
      row.append(element("td", { class: `of-${column.key}${column.number ? " number" : ""}` }, ...cells[column.key]));
    }
    return row;
  }

  lengthBar(c) {
    const bar = element("span", { class: "length" });
    bar.style.width = `${Math.max(1, Math.round((76 * c.duration_s) / this.longest))}px`;
    return element("span", { class: "length-box" }, bar);
  }
}

/** A button that is on or off. */
function toggle(text, kind, on, change) {
  const button = element("button", { type: "button", class: "chip", "aria-pressed": String(on) },
    element("span", { class: `dot ${kind}` }), text);
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    change(pressed);
  });
  return button;
}
