// The picture of a scenario as somebody uses it: laid out in lanes, moved, and pointed at.

const MAX_LEVELS = 4; // Operations of one peer beside each other; more games at once are drawn over each other.
const MAX_COMMAND_LEVELS = 2;
const ROOMY_LANES = 12; // Up to here lanes are high enough for a thumb.
const MIN_SPAN_US = 20;
const MARK_REACH_PX = 7;

class Timeline extends Picture {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{select: Function, hover: Function}} listener told what is clicked on, and what the pointer is over
   */
  constructor(canvas, listener) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.listener = listener;
    this.model = null;
    this.boxes = [];
    this.selected = null;
    this.hovered = null;
    this.pointerX = null;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  show(model, rows) {
    this.model = model;
    this.selected = this.hovered = null;
    this.rows = rows;
    this.layOut();
    this.full = [-model.head.end_us * 0.01 - 1, Math.max(model.head.end_us, 1000) * 1.02];
    this.view = [...this.full];
    this.resize();
  }

  /** Lanes from top to bottom, and in each the rows of marks, operations and commands. */
  layOut() {
    const { head } = this.model;
    const roomy = head.peers.length <= ROOMY_LANES;
    const [mark, bar, command, pad] = roomy ? [18, 20, 10, 8] : [12, 14, 6, 4];
    const notes = head.kinds.indexOf("note");
    this.notes = [];
    head.kind.forEach((kind, row) => { if (kind === notes) this.notes.push(row); });
    let top = AXIS_PX + (this.notes.length ? 20 : 0);
    this.lanes = head.peers.map((peer, index) => {
      const operations = head.operations.filter((operation) => operation.peer === peer);
      const commands = head.commands.filter((command_) => command_.peer === peer);
      const levels = Math.max(1, stack(operations, MAX_LEVELS));
      const commandLevels = Math.max(1, stack(commands, MAX_COMMAND_LEVELS));
      const lane = { peer, index, top, operations, commands, runs: head.runs.filter((run) => run.peer === peer), bar, command };
      lane.marksTop = top + pad;
      lane.barsTop = lane.marksTop + mark + 3;
      lane.commandsTop = lane.barsTop + levels * (bar + 2) + 2;
      lane.markHeight = mark;
      lane.height = lane.commandsTop + commandLevels * (command + 2) + pad - top;
      top += lane.height;
      return lane;
    });
    this.laneOf = new Map(this.lanes.map((lane) => [lane.peer, lane]));
    this.height = top;
    this.context.font = `600 13px ${palette().sans}`;
    this.gutter = Math.min(180, 40 + Math.max(...head.peers.map((peer) => this.context.measureText(peer).width), 30));
    this.flow = null;
    this.shown = new Uint8Array(this.model.count);
    this.setRows(this.rows);
  }

  /** Which rows are drawn as marks. */
  setRows(rows) {
    this.rows = rows;
    this.shown.fill(0);
    for (const row of rows) this.shown[row] = 1;
    this.redraw();
  }

  resize() {
    if (!this.model) return;
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.parentElement.clientWidth;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.redraw();
  }

  redraw() {
    if (this.frame || !this.model) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  // Where things are

  failureRow() {
    const failure = this.model.head.kinds.indexOf("failure");
    return this.model.kind.indexOf(failure);
  }

  /** What is at a point: the nearest mark, else the topmost bar, arrow or fault. */
  hit(x, y) {
    if (x < this.gutter) return null;
    const lane = this.lanes.find((l) => y >= l.top && y < l.top + l.height);
    if (lane && y < lane.barsTop) {
      const row = this.nearestRow(lane, x);
      if (row >= 0) return { row };
    }
    let best = null;
    for (const box of this.boxes) {
      const inside = x >= box.x - 1 && x <= box.x + box.width + 1 && y >= box.y - 1 && y <= box.y + box.height + 1;
      if (inside && (!best || box.level >= best.level)) best = box;
    }
    return best;
  }

  nearestRow(lane, x) {
    const rows = this.model.lanes[lane.index];
    const from = lowerBound(this.model, rows, this.time(x - MARK_REACH_PX));
    const to = lowerBound(this.model, rows, this.time(x + MARK_REACH_PX));
    let best = -1, distance = Infinity;
    for (let i = from; i < to; i++) {
      const apart = Math.abs(this.x(this.model.at[rows[i]]) - x);
      if (this.shown[rows[i]] && apart < distance) { best = rows[i]; distance = apart; }
    }
    return best;
  }

  // Moving

  setView(from, to) {
    const [low, high] = this.full;
    const span = Math.min(Math.max(to - from, MIN_SPAN_US), high - low);
    const start = Math.min(Math.max(from, low), high - span);
    this.view = [start, start + span];
    this.redraw();
  }

  fit() { this.setView(...this.full); }

  zoom(factor, x = (this.gutter + this.width) / 2) {
    const at = this.time(x);
    this.setView(at - (at - this.view[0]) * factor, at + (this.view[1] - at) * factor);
  }

  pan(pixels) {
    const by = (pixels * (this.view[1] - this.view[0])) / (this.width - this.gutter);
    const span = this.view[1] - this.view[0];
    const start = Math.min(Math.max(this.view[0] + by, this.full[0]), this.full[1] - span);
    this.view = [start, start + span];
    this.redraw();
  }

  /** Brings a time into view, without moving where it is already. */
  reveal(at) {
    const [from, to] = this.view, margin = (to - from) * 0.04;
    if (at < from + margin || at > to - margin) this.setView(at - (to - from) / 2, at + (to - from) / 2);
    else this.redraw();
  }

  select(selected) { this.selected = selected; this.redraw(); }

  listen() {
    const { canvas } = this;
    let drag = null;
    const position = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const [x, y] = position(event);
      drag = { x, last: x, moved: false, range: event.shiftKey || y < AXIS_PX };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = position(event);
      this.pointerX = x >= this.gutter ? Math.round(x) : null;
      if (drag) {
        drag.moved ||= Math.abs(x - drag.x) > 3;
        if (drag.moved && drag.range) this.range = [Math.min(drag.x, x), Math.max(drag.x, x)];
        else if (drag.moved) { this.pan(drag.last - x); canvas.classList.add("dragging"); }
        drag.last = x;
        this.listener.hover(null);
      } else {
        this.hovered = this.hit(x, y);
        this.listener.hover(this.hovered, x, y);
      }
      this.redraw();
    });
    const release = (event) => {
      canvas.classList.remove("dragging");
      const ended = drag;
      drag = null;
      if (!ended || event.type === "pointercancel") { this.range = null; return; }
      if (this.range) { this.setView(this.time(this.range[0]), this.time(this.range[1])); this.range = null; }
      else if (!ended.moved) { const found = this.hit(...position(event)); if (found) this.listener.select(found); }
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", () => { this.pointerX = this.hovered = null; this.listener.hover(null); this.redraw(); });
    canvas.addEventListener("dblclick", (event) => this.zoom(0.4, event.offsetX));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : 1;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan((event.deltaX || event.deltaY) * unit);
      else this.zoom(Math.exp(event.deltaY * unit * 0.0018), Math.max(event.offsetX, this.gutter));
    }, { passive: false });
  }
}
