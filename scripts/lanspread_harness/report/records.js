// The list of records, of which only the visible ones are in the page, and the one that is selected.

const ROW_PX = 25;
const SPARE_ROWS = 6;
const ABOUT_CHARS = 160;

/** @param {string} tag @param {Object} attributes @param {...(Node|string)} children */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (name === "class") made.className = value;
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

class RecordList {
  /** @param {HTMLElement} box @param {HTMLElement} space @param {(row: number) => void} select */
  constructor(box, space, select) {
    this.box = box;
    this.space = space;
    this.select = select;
    this.rows = new Uint32Array();
    this.selected = -1;
    box.addEventListener("scroll", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(box);
    box.addEventListener("click", (event) => {
      const row = event.target.closest?.(".row");
      if (row) this.select(Number(row.dataset.row));
    });
  }

  show(model, rows) {
    this.model = model;
    this.rows = rows;
    this.space.style.height = `${rows.length * ROW_PX}px`;
    this.redraw();
  }

  /** The index of the first listed row that is not before `row`. */
  indexOf(row) {
    let low = 0, high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle] < row) low = middle + 1; else high = middle;
    }
    return low;
  }

  mark(row) {
    this.selected = row;
    if (row < 0) { this.redraw(); return; }
    const top = this.indexOf(row) * ROW_PX, { scrollTop, clientHeight } = this.box;
    if (top < scrollTop || top + ROW_PX > scrollTop + clientHeight) this.box.scrollTop = top - clientHeight / 3;
    this.redraw();
  }

  redraw() {
    if (!this.model) return;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(this.rows.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW_PX) + SPARE_ROWS);
    const shown = [];
    for (let index = first; index < last; index++) shown.push(this.rowElement(index));
    if (!this.rows.length) shown.push(element("p", { class: "empty row" }, "Nothing matches."));
    this.space.replaceChildren(...shown);
  }

  rowElement(index) {
    const { model } = this;
    const row = this.rows[index], kind = kindOf(model, row);
    const classes = `row${row === this.selected ? " selected" : ""}${kind === "failure" ? " is-failure" : ""}`;
    const made = element("div", { class: classes, role: "option", "aria-selected": String(row === this.selected), "data-row": row },
      element("span", { class: "time" }, (model.at[row] / 1e6).toFixed(6)),
      element("span", { class: "peer" }, model.peer[row] < 0 ? "" : model.head.peers[model.peer[row]]),
      element("span", { class: "kind" }, kind),
      element("span", {}, nameOf(model, row), element("span", { class: "about" }, aboutText(model, row))));
    made.style.top = `${index * ROW_PX}px`;
    made.querySelector(".kind").style.color = `var(--${colourOfKind(kind)})`;
    made.querySelector(".peer").style.color = model.peer[row] < 0 ? "" : `var(--peer-${model.peer[row] % 8})`;
    return made;
  }
}

/** Text whose parts in backticks are code. @param {string} text */
function withCode(text) {
  return text.split("`").map((part, index, parts) =>
    (index % 2 && index < parts.length - 1 ? element("code", {}, part) : index % 2 ? `\`${part}` : part));
}

/** What a row is about, on the rest of a line: the data of a record, the parameters of a command. */
function aboutText(model, row) {
  const entry = parsed(model.texts[row]);
  if (!entry) return "";
  const record = entry.record;
  if (record?.error) return String(record.error.message ?? "");
  const { id: _, cmd: __, ...parameters } = entry.command ?? {};
  const about = record?.data ?? (entry.command ? parameters : entry.kind === "fault" ? entry.detail : undefined);
  if (!about || !Object.keys(about).length) return "";
  const pairs = Object.entries(about).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return withNames(model, pairs.join(", ").slice(0, ABOUT_CHARS));
}

/** Ids of peers of this lab as their names. */
function withNames(model, text) {
  return text.replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => model.names.get(id) ?? id);
}
