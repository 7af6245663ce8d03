// The picture: a lane for each peer on one time axis, drawn on a canvas.

const AXIS_PX = 30;
const MAX_LEVELS = 4; // Operations of one peer beside each other; more games at once are drawn over each other.
const MAX_COMMAND_LEVELS = 2;
const ROOMY_LANES = 12; // Up to here lanes are high enough for a thumb.
const MIN_SPAN_US = 20;
const MARK_REACH_PX = 7;
const TRANSFER_STEP_PX = 30; // Arrows closer than this are added up to one.
const TICK_TARGET_PX = 120;
const MARK_WIDTH_PX = 2;
const DENSE = 1.5; // Marks per pixel from which a histogram says more than marks.

/** Colours by name, read from the style sheet so that both themes fit. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  return new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${String(name)}`).trim() || "#888" });
}

/** Which colour a mark has. */
function colourOfKind(kind) {
  if (["start", "exit", "note", "ready"].includes(kind)) return "life";
  return kind === "failure" || kind === "other" ? "error" : kind;
}

class Timeline {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{select: Function, hover: Function}} listener told what is clicked on, and what the pointer is over
   */
  constructor(canvas, listener) {
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
    this.gutter = Math.min(180, 28 + Math.max(...head.peers.map((peer) => peer.length), 4) * 7.6);
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
    if (this.width < 200) this.gutter = 40;
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

  x(at) { return this.gutter + ((at - this.view[0]) / (this.view[1] - this.view[0])) * (this.width - this.gutter); }
  time(x) { return this.view[0] + ((x - this.gutter) / (this.width - this.gutter)) * (this.view[1] - this.view[0]); }

  // Drawing

  draw() {
    if (!this.view || !this.width) return;
    const c = this.context;
    this.colours = palette();
    this.boxes = [];
    c.clearRect(0, 0, this.width, this.height);
    c.textBaseline = "middle";
    c.save();
    c.beginPath();
    c.rect(this.gutter, 0, this.width - this.gutter, this.height);
    c.clip();
    for (const lane of this.lanes) this.drawGround(lane);
    this.drawLeftOut();
    this.drawGrid();
    this.drawFaults();
    for (const lane of this.lanes) {
      for (const operation of lane.operations) this.drawOperation(lane, operation);
      this.drawCommands(lane);
    }
    this.drawTransfers();
    for (const lane of this.lanes) this.drawMarks(lane);
    this.drawNotes();
    this.drawSelection();
    this.drawFailure();
    this.drawPointer();
    c.restore();
    this.drawNames();
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn || 0) + 1);
  }

  drawGround(lane) {
    const c = this.context;
    c.fillStyle = this.colours.dead;
    c.fillRect(this.gutter, lane.top, this.width, lane.height);
    c.fillStyle = this.colours.lane;
    for (const run of lane.runs) {
      const from = this.x(run.begin_us), to = this.x(run.end_us ?? this.model.head.end_us);
      c.fillRect(from, lane.top, Math.max(1, to - from), lane.height);
    }
  }

  drawLeftOut() {
    const out = this.model.head.left_out;
    if (!out) return;
    const c = this.context;
    const from = this.x(this.model.at[out.after_row - 1]), to = this.x(this.model.at[out.after_row]);
    c.fillStyle = this.colours.sunk;
    c.fillRect(from, AXIS_PX, to - from, this.height);
    this.label(`${out.count.toLocaleString("en")} records left out`, from + 6, AXIS_PX + 10, to - from - 10, this.colours.quiet);
  }

  drawGrid() {
    const c = this.context;
    const span = this.view[1] - this.view[0];
    const rough = (span * TICK_TARGET_PX) / (this.width - this.gutter);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
    const digits = Math.max(0, Math.min(6, Math.ceil(6 - Math.log10(step) - 1e-9)));
    c.font = `11.5px ${this.colours.sans}`;
    c.textAlign = "left";
    for (let at = Math.ceil(this.view[0] / step) * step; at <= this.view[1]; at += step) {
      const x = Math.round(this.x(at)) + 0.5;
      c.fillStyle = this.colours.grid;
      c.fillRect(x - 0.5, AXIS_PX, 1, this.height);
      c.fillStyle = this.colours.quiet;
      c.fillText(`${(at / 1e6).toFixed(digits).replace("-0.0", "0.0")} s`, x + 4, AXIS_PX / 2 + 1);
      c.fillStyle = this.colours["strong-line"];
      c.fillRect(x - 0.5, AXIS_PX - 6, 1, 6);
    }
    c.fillStyle = this.colours.line;
    c.fillRect(this.gutter, AXIS_PX - 1, this.width, 1);
    for (const lane of this.lanes) c.fillRect(this.gutter, lane.top + lane.height - 1, this.width, 1);
  }

  drawFaults() {
    const c = this.context;
    for (const fault of this.model.head.faults) {
      const lanes = fault.peers.length ? fault.peers.map((peer) => this.laneOf.get(peer)).filter(Boolean) : this.lanes;
      const from = this.x(fault.begin_us), to = fault.end_us === null ? from + 2 : this.x(fault.end_us);
      if (to < this.gutter || from > this.width) continue;
      for (const lane of lanes) {
        c.fillStyle = this.colours["fault-soft"];
        c.fillRect(from, lane.top, Math.max(2, to - from), lane.height - 1);
        c.fillStyle = this.colours.fault;
        c.fillRect(from, lane.top, 1.5, lane.height - 1);
        if (fault.end_us !== null) c.fillRect(to - 1, lane.top, 1, lane.height - 1);
        const room = fault.end_us === null ? 110 : to - from - 8;
        const drawn = fault.name === "close-stdin" ? 0 : this.label(fault.name, Math.max(from, this.gutter) + 5, lane.top + lane.height - 9, room, this.colours.fault);
        this.boxes.push({ x: from - 3, y: lane.top, width: Math.max(8, to - from + 4, drawn), height: lane.height, fault, level: 0 });
      }
    }
  }

  drawOperation(lane, operation) {
    const c = this.context;
    const from = this.x(operation.begin_us), to = Math.max(from + 3, this.x(operation.end_us));
    if (to < this.gutter || from > this.width) return;
    const y = lane.barsTop + operation.level * (lane.bar + 2);
    const colour = this.colours[operation.name];
    const good = operation.outcome === "finished";
    c.globalAlpha = good ? 0.24 : 0.12;
    c.fillStyle = colour;
    c.beginPath();
    c.roundRect(from, y, to - from, lane.bar, 4);
    c.fill();
    c.globalAlpha = 1;
    c.strokeStyle = operation.outcome === "failed" || operation.outcome === "all-peers-gone" ? this.colours.failed : colour;
    c.lineWidth = 1;
    c.setLineDash(good ? [] : [4, 3]);
    c.stroke();
    c.setLineDash([]);
    const size = operation.bytes === null ? "" : `, ${sizeText(operation.bytes)}`;
    const outcome = good ? "" : `, ${operation.code ?? operation.outcome}`;
    const start = Math.max(from, this.gutter);
    this.label(`${operation.name} ${operation.game}${size}${outcome}`, start + 6, y + lane.bar / 2 + 0.5, to - start - 10, this.colours.text);
    this.boxes.push({ x: from, y, width: to - from, height: lane.bar, operation, level: 2 });
  }

  drawCommands(lane) {
    const c = this.context;
    let lastX = -10;
    for (const command of lane.commands) {
      const from = this.x(command.begin_us), to = this.x(command.end_us ?? this.model.head.end_us);
      if (to < this.gutter || from > this.width) continue;
      const width = Math.max(3, to - from);
      const y = lane.commandsTop + command.level * (lane.command + 2);
      if (width > 3 || from - lastX >= 1) {
        c.fillStyle = command.outcome === "ok" ? this.colours.command : this.colours.error;
        c.globalAlpha = command.outcome === "ok" ? 0.4 : 0.65;
        c.fillRect(from, y, width, lane.command);
        c.globalAlpha = 1;
        if (lane.command >= 10 && width > 40) {
          const start = Math.max(from, this.gutter);
          this.label(command.name, start + 4, y + lane.command / 2 + 0.5, width - 6 - (start - from), this.colours.text, 10);
        }
        lastX = from;
      }
      this.boxes.push({ x: from, y, width, height: lane.command, command, level: 1 });
    }
  }

  /** An arrow for what a source gave within some pixels, thicker for more. */
  drawTransfers() {
    const c = this.context;
    const step = ((this.view[1] - this.view[0]) * TRANSFER_STEP_PX) / (this.width - this.gutter);
    const bucketUs = 2 ** Math.ceil(Math.log2(step)); // Powers of two, so that arrows stay where they are while panning.
    const arrows = [];
    let most = 1;
    for (const transfer of this.model.head.transfers) {
      const buckets = new Map();
      for (const [at, bytes] of transfer.samples) {
        const key = Math.floor(at / bucketUs);
        const bucket = buckets.get(key) ?? { at, first: at, bytes: 0, transfer };
        bucket.at = at;
        bucket.bytes += bytes;
        buckets.set(key, bucket);
      }
      for (const bucket of buckets.values()) { most = Math.max(most, bucket.bytes); arrows.push(bucket); }
    }
    for (const arrow of arrows) this.drawArrow(arrow, most);
    c.globalAlpha = 1;
  }

  drawArrow({ at, bytes, transfer }, most) {
    const to = this.laneOf.get(transfer.receiver), from = this.laneOf.get(transfer.source);
    const spread = ((from?.index ?? 0) % 8) * 3.5 - 12;
    const x = this.x(at) + spread;
    if (!to || x < this.gutter - 8 || x > this.width + 8) return;
    const operation = to.operations.find((o) => o.game === transfer.game && o.begin_us === transfer.begin_us);
    const down = !from || from.top < to.top;
    const startY = from ? from.barsTop + from.bar / 2 : AXIS_PX;
    const barTop = to.barsTop + (operation?.level ?? 0) * (to.bar + 2);
    const endY = down ? barTop : barTop + to.bar;
    const c = this.context;
    const weight = Math.sqrt(bytes / most);
    const colour = this.colours[`peer-${(from?.index ?? 7) % 8}`];
    const chosen = this.hovered?.transfer === transfer || this.selected?.transfer === transfer;
    c.globalAlpha = chosen ? 1 : 0.25 + 0.5 * weight;
    c.strokeStyle = c.fillStyle = colour;
    c.lineWidth = (chosen ? 1.6 : 0.8) + 1.8 * weight;
    const head = 4 + 2 * weight;
    c.beginPath();
    c.moveTo(x, startY);
    c.lineTo(x, endY - (down ? head : -head));
    c.stroke();
    c.beginPath();
    c.moveTo(x, endY);
    c.lineTo(x - head * 0.6, endY - (down ? head : -head));
    c.lineTo(x + head * 0.6, endY - (down ? head : -head));
    c.fill();
    c.beginPath();
    c.arc(x, startY, 1.4 + weight, 0, 7);
    c.fill();
    this.boxes.push({ x: x - 3, y: Math.min(startY, endY), width: 6, height: Math.abs(endY - startY), transfer, at, bytes, level: 0 });
  }

  /** A mark for each record; where there are more than pixels, how many there are. */
  drawMarks(lane) {
    const { model } = this;
    const rows = model.lanes[lane.index];
    const first = lowerBound(model, rows, this.view[0]), last = lowerBound(model, rows, this.view[1]);
    const width = this.width - this.gutter;
    if (last - first > width * DENSE) { this.drawDensity(lane, rows, first, last, width); return; }
    const c = this.context;
    for (let i = first; i < last; i++) {
      const row = rows[i];
      if (!this.shown[row]) continue;
      const kind = kindOf(model, row);
      const strong = kind === "error" || kind === "failure" || kind === "exit" || kind === "start";
      const height = kind === "progress" ? lane.markHeight * 0.45 : strong ? lane.markHeight : lane.markHeight * 0.72;
      c.fillStyle = this.colours[colourOfKind(kind)];
      c.fillRect(this.x(model.at[row]) - MARK_WIDTH_PX / 2, lane.marksTop + lane.markHeight - height, MARK_WIDTH_PX, height);
    }
  }

  drawDensity(lane, rows, first, last, width) {
    const { model } = this;
    const c = this.context;
    const counts = new Uint32Array(Math.ceil(width) + 1), errors = new Uint8Array(counts.length);
    const scale = width / (this.view[1] - this.view[0]);
    const error = model.head.kinds.indexOf("error");
    let most = 1;
    for (let i = first; i < last; i++) {
      const row = rows[i];
      if (!this.shown[row]) continue;
      const x = Math.floor((model.at[row] - this.view[0]) * scale);
      most = Math.max(most, ++counts[x]);
      if (model.kind[row] === error) errors[x] = 1;
    }
    for (let x = 0; x < counts.length; x++) {
      if (!counts[x]) continue;
      const height = Math.max(2, lane.markHeight * Math.sqrt(counts[x] / most));
      c.fillStyle = errors[x] ? this.colours.error : this.colours.event;
      c.fillRect(this.gutter + x, lane.marksTop + lane.markHeight - height, 1, height);
    }
  }

  drawNotes() {
    const c = this.context;
    let free = 0;
    for (const row of this.notes) {
      const x = this.x(this.model.at[row]);
      if (x < this.gutter || x > this.width) continue;
      c.fillStyle = this.colours.quiet;
      c.fillRect(x, AXIS_PX, 1, 20);
      const text = nameOf(this.model, row);
      c.font = `450 11.5px ${this.colours.sans}`;
      const width = Math.min(320, c.measureText(text).width);
      const left = x + width + 8 > this.width ? x - width - 5 : x + 5; // At the right end it stands before its line.
      if (left > free) free = left + 9 + this.label(text, left, AXIS_PX + 10, width + 1, this.colours.quiet);
      this.boxes.push({ x: x - 2, y: AXIS_PX, width: 12, height: 20, row, level: 3 });
    }
  }

  drawFailure() {
    const row = this.failureRow();
    if (row < 0) return;
    const c = this.context;
    const x = this.x(this.model.at[row]);
    c.fillStyle = this.colours.failed;
    c.fillRect(Math.round(x) - 1, AXIS_PX - 10, 2, this.height);
    c.font = `600 11.5px ${this.colours.sans}`;
    const text = "first failure", width = c.measureText(text).width + 12;
    const left = Math.min(Math.max(x - width / 2, this.gutter), this.width - width - 2);
    c.beginPath();
    c.roundRect(left, 5, width, 19, 4);
    c.fill();
    c.fillStyle = this.colours.page;
    c.fillText(text, left + 6, 15);
    this.boxes.push({ x: left, y: 0, width, height: AXIS_PX, row, level: 4 });
  }

  drawSelection() {
    const row = this.selected?.row;
    if (row === undefined) return;
    const c = this.context;
    const x = this.x(this.model.at[row]);
    c.fillStyle = this.colours.select;
    c.globalAlpha = 0.85;
    c.fillRect(x - 0.75, AXIS_PX, 1.5, this.height);
    c.globalAlpha = 1;
    const lane = this.lanes[this.model.peer[row]];
    if (!lane) return;
    c.beginPath();
    c.arc(x, lane.marksTop + lane.markHeight - 2, 5, 0, 7);
    c.fill();
    c.strokeStyle = this.colours.text;
    c.lineWidth = 1.5;
    c.stroke();
  }

  drawPointer() {
    const c = this.context;
    if (this.range) {
      c.fillStyle = this.colours.focus;
      c.globalAlpha = 0.16;
      c.fillRect(this.range[0], AXIS_PX, this.range[1] - this.range[0], this.height);
      c.globalAlpha = 1;
    } else if (this.pointerX !== null) {
      c.fillStyle = this.colours.faint;
      c.globalAlpha = 0.5;
      c.fillRect(this.pointerX, AXIS_PX, 1, this.height);
      c.globalAlpha = 1;
    }
  }

  drawNames() {
    const c = this.context;
    c.fillStyle = this.colours.panel;
    c.fillRect(0, 0, this.gutter, this.height);
    c.fillStyle = this.colours.line;
    c.fillRect(this.gutter - 1, 0, 1, this.height);
    c.textAlign = "left";
    for (const lane of this.lanes) {
      c.fillStyle = this.colours.line;
      c.fillRect(0, lane.top + lane.height - 1, this.gutter, 1);
      const y = lane.barsTop + lane.bar / 2;
      c.fillStyle = this.colours[`peer-${lane.index % 8}`];
      c.beginPath();
      c.arc(13, y, 4, 0, 7);
      c.fill();
      this.label(lane.peer, 23, y + 0.5, this.gutter - 28, this.colours.text, 13, "550");
    }
  }

  /** Draws as much of a text as fits and returns its width; nothing where hardly any of it would. */
  label(text, x, y, room, colour, size = 11.5, weight = "450") {
    const c = this.context;
    c.font = `${weight} ${size}px ${this.colours.sans}`;
    if (room < 18) return 0;
    let shown = text.length > 200 ? text.slice(0, 200) : text;
    if (c.measureText(shown).width > room) {
      let low = 0, high = shown.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (c.measureText(`${shown.slice(0, middle)}…`).width <= room) low = middle; else high = middle - 1;
      }
      if (low < 2) return 0;
      shown = `${shown.slice(0, low)}…`;
    }
    c.fillStyle = colour;
    c.textAlign = "left";
    c.fillText(shown, x, y);
    return c.measureText(shown).width;
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
