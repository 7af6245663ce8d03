// The timeline of one scenario, unpacked, and questions to it. Knows nothing of the page.

/**
 * @typedef {Object} Model
 * @property {Object} head what Python's `pack` wrote
 * @property {number} count of embedded rows, in the order of their times
 * @property {Float64Array} at microseconds on the runner's clock
 * @property {Int32Array} peer index of the lane, -1 for none
 * @property {Uint8Array} kind index into `head.kinds`
 * @property {string[]} texts the lines of the history
 */

/** @param {string} text @returns {Model} */
function modelOf(text) {
  const end = text.indexOf("\n");
  const head = JSON.parse(end < 0 ? text : text.slice(0, end));
  const texts = end < 0 ? [] : text.slice(end + 1).split("\n");
  const count = texts.length;
  const model = {
    head, texts, count,
    at: Float64Array.from(head.at), lag: Float64Array.from(head.lag), line: Uint32Array.from(head.line, (d) => d >>> 0),
    peer: Int32Array.from(head.peer), run: Uint32Array.from(head.run), kind: Uint8Array.from(head.kind), name: Uint32Array.from(head.name),
    rowOfLine: new Map(), lanes: /** @type {Uint32Array[]} */ ([]), names: peerNames(head, texts),
  };
  let at = 0, line = 0;
  for (let row = 0; row < count; row++) {
    at = model.at[row] += at;
    line = model.line[row] = (head.line[row] + line) >>> 0;
    model.rowOfLine.set(line, row);
  }
  const rows = head.peers.map(() => []);
  for (let row = 0; row < count; row++) if (model.peer[row] >= 0) rows[model.peer[row]].push(row);
  model.lanes = rows.map((lane) => Uint32Array.from(lane));
  return model;
}

/** Names of peers by the ids that their `ready` records show. */
function peerNames(head, texts) {
  const names = new Map();
  const ready = head.kinds.indexOf("ready");
  head.kind.forEach((kind, row) => {
    if (kind !== ready) return;
    const data = parsed(texts[row])?.record?.data;
    if (data && typeof data.peer_id === "string") names.set(data.peer_id, head.peers[head.peer[row]]);
  });
  return names;
}

/** The object in a line, or undefined where it was shortened. @param {string} text */
function parsed(text) {
  try { return JSON.parse(text); } catch { return undefined; }
}

/** First index in `lane` whose row is not before `at`. */
function lowerBound(model, lane, at) {
  let low = 0, high = lane.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (model.at[lane[middle]] < at) low = middle + 1; else high = middle;
  }
  return low;
}

/** Rows whose line contains `needle`, whatever the case, and whose kind is shown. */
function matchingRows(model, needle, shownKinds) {
  const found = [];
  const pattern = needle ? new RegExp(needle.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i") : null;
  for (let row = 0; row < model.count; row++) {
    if (shownKinds.has(kindOf(model, row)) && (!pattern || pattern.test(model.texts[row]))) found.push(row);
  }
  return Uint32Array.from(found);
}

const kindOf = (model, row) => model.head.kinds[model.kind[row]];
const nameOf = (model, row) => model.head.names[model.name[row]];

/** Stacks what overlaps: gives each item a `level` of its own where it can, and returns how many levels there are. */
function stack(items, maxLevels) {
  const ends = [];
  for (const item of items) {
    let level = ends.findIndex((end) => end <= item.begin_us);
    if (level < 0) level = ends.length < maxLevels ? ends.length : ends.indexOf(Math.min(...ends));
    ends[level] = Math.max(item.end_us ?? Infinity, ends[level] ?? 0);
    item.level = level;
  }
  return ends.length;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {number} bytes */
function sizeText(bytes) {
  let step = 0;
  while (bytes >= 1024 ** (step + 1) && step < UNITS.length - 1) step++;
  return step ? `${(bytes / 1024 ** step).toFixed(1)} ${UNITS[step]}` : `${bytes} B`;
}

/** A duration in the unit that fits it. @param {number} us */
function durationText(us) {
  if (us >= 1e6) return `${(us / 1e6).toFixed(us >= 1e8 ? 1 : 3)} s`;
  return us >= 1e3 ? `${(us / 1e3).toFixed(2)} ms` : `${Math.round(us)} µs`;
}

/** A time since the lab began. @param {number} us */
const momentText = (us) => `+${(us / 1e6).toFixed(6)} s`;
