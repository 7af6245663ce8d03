// What is drawn of a timeline, and how: lanes, marks, bars, arrows and faults. Moving and choosing are in `timeline.js`.

const AXIS_PX = 30;
const TRANSFER_STEP_PX = 30; // Arrows closer than this are added up to one.
const TICK_TARGET_PX = 120;
const MARK_WIDTH_PX = 2;
const MIN_NAME_PX = 34; // Of the name of a fault that does not fit whole; less of it says nothing.
const CROWD = 300; // Arrows in sight from which they are drawn finer.
const DENSE = 1.5; // Marks per pixel from which a histogram says more than marks.

/** Colours by name, read from the style sheet so that both themes fit, and once because asking it is slow. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const known = new Map();
  return new Proxy({}, {
    get(_, name) {
      if (!known.has(name)) known.set(name, style.getPropertyValue(`--${String(name)}`).trim() || "#888");
      return known.get(name);
    },
  });
}

/** What the harness does to every peer at the end; it is no trouble, and not drawn as if it were. */
const ORDINARY_FAULTS = new Set(["close-stdin"]);

/** Which colour a mark has. */
function colourOfKind(kind) {
  if (["start", "exit", "note", "ready"].includes(kind)) return "life";
  return kind === "failure" || kind === "other" ? "error" : kind;
}

/** Draws what `Timeline` laid out, for the times in its `view`, and notes in `boxes` where things came to stand. */
class Picture {
  x(at) { return this.gutter + ((at - this.view[0]) / (this.view[1] - this.view[0])) * (this.width - this.gutter); }
  time(x) { return this.view[0] + ((x - this.gutter) / (this.width - this.gutter)) * (this.view[1] - this.view[0]); }

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
    for (const lane of this.lanes) {
      for (const operation of lane.operations) this.drawOperationName(lane, operation);
      this.drawMarks(lane);
    }
    this.drawFaultNames();
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
        const ordinary = ORDINARY_FAULTS.has(fault.name);
        c.fillStyle = this.colours["fault-soft"];
        if (fault.end_us !== null) c.fillRect(from, lane.top, Math.max(2, to - from), lane.height - 1);
        c.fillStyle = ordinary ? this.colours["strong-line"] : this.colours.fault;
        c.fillRect(Math.round(from), lane.top, ordinary ? 1 : 2, lane.height - 1);
        if (fault.end_us !== null) c.fillRect(to - 1, lane.top, 1, lane.height - 1);
        this.boxes.push({ x: from - 3, y: lane.top, width: Math.max(8, to - from + 4), height: lane.height, fault, level: 0 });
      }
    }
  }

  /** Names of faults, over whatever else is there. */
  drawFaultNames() {
    const c = this.context;
    const free = new Map(); // Where the last name in a lane ends: no two are written over each other.
    for (const { fault, x, y, width, height } of this.boxes.filter((box) => box.fault && !ORDINARY_FAULTS.has(box.fault.name))) {
      const left = Math.max(x + 3, this.gutter) + 4, middle = y + height - 10;
      const room = fault.end_us === null ? 160 : x + width - left - 6;
      c.font = `600 11px ${this.colours.sans}`;
      const whole = c.measureText(fault.title).width, textWidth = Math.min(whole, room);
      if ((room < whole && room < MIN_NAME_PX) || left < (free.get(y) ?? 0)) continue;
      free.set(y, left + textWidth + 8);
      c.fillStyle = this.colours.panel;
      c.beginPath();
      c.roundRect(left - 1, middle - 8, textWidth + 8, 16, 3);
      c.fill();
      this.label(fault.title, left + 3, middle + 0.5, room, this.colours.fault, 11, "600");
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
    this.boxes.push({ x: from, y, width: to - from, height: lane.bar, operation, level: 2 });
  }

  drawOperationName(lane, operation) {
    const from = Math.max(this.x(operation.begin_us), this.gutter), to = this.x(operation.end_us);
    if (to < this.gutter || from > this.width) return;
    const size = operation.bytes === null ? "" : `, ${sizeText(operation.bytes)}`;
    const outcome = operation.outcome === "finished" ? "" : `, ${operation.code ?? operation.outcome}`;
    const y = lane.barsTop + operation.level * (lane.bar + 2) + lane.bar / 2 + 0.5;
    this.label(`${operation.name} ${operation.game}${size}${outcome}`, from + 6, y, to - from - 10, this.colours.text);
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
    const step = ((this.view[1] - this.view[0]) * TRANSFER_STEP_PX) / (this.width - this.gutter);
    const bucketUs = 2 ** Math.ceil(Math.log2(step)); // Powers of two, so that arrows stay where they are while panning.
    if (this.flow?.bucketUs !== bucketUs) this.flow = this.flowOf(bucketUs);
    const visible = this.flow.arrows.filter(({ at }) => at >= this.view[0] && at <= this.view[1]);
    const weight = Math.max(0.45, Math.min(1, CROWD / visible.length));
    for (const arrow of visible) this.drawArrow(arrow, this.flow.most, weight);
    this.context.globalAlpha = 1;
  }

  flowOf(bucketUs) {
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
    return { bucketUs, arrows, most };
  }

  drawArrow({ at, bytes, transfer }, most, share) {
    const to = this.laneOf.get(transfer.receiver), from = this.laneOf.get(transfer.source);
    const spread = ((from?.index ?? 0) % 8) * 3.5 - 12;
    const x = this.x(at) + spread;
    if (!to) return;
    const operation = to.operations.find((o) => o.game === transfer.game && o.begin_us === transfer.begin_us);
    const down = !from || from.top < to.top;
    const startY = from ? from.barsTop + from.bar / 2 : AXIS_PX;
    const barTop = to.barsTop + (operation?.level ?? 0) * (to.bar + 2);
    const endY = down ? barTop : barTop + to.bar;
    const c = this.context;
    const weight = Math.sqrt(bytes / most) * share;
    const colour = this.colours[`peer-${(from?.index ?? 7) % 8}`];
    const chosen = this.hovered?.transfer === transfer || this.selected?.transfer === transfer;
    c.globalAlpha = chosen ? 1 : 0.15 + 0.1 * share + 0.5 * weight;
    c.strokeStyle = c.fillStyle = colour;
    c.lineWidth = (chosen ? 1.6 : 0.8 * share) + 1.8 * weight;
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
    const beyond = x < this.gutter ? "← " : x > this.width ? "→ " : "";
    const text = `${beyond}first failure`, width = c.measureText(text).width + 12;
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
}
