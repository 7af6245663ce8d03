// All that is known of what is selected, as elements of the page.

const MAX_SUMMARY_LINES = 200;

function facts(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) {
    if (value !== undefined && value !== null && value !== "") list.append(element("dt", {}, name), element("dd", {}, String(value)));
  }
  return list;
}

/** @param {any} model @param {any} selected @param {(row: number) => void} goTo */
function detailOf(model, selected, goTo) {
  const link = (text, line) => {
    const row = model.rowOfLine.get(line);
    return row === undefined ? "" : element("button", { type: "button", onclick: () => goTo(row) }, text);
  };
  if (selected.operation) return operationDetail(selected.operation, link);
  if (selected.command) return commandDetail(selected.command, link);
  if (selected.transfer) return transferDetail(selected.transfer);
  if (selected.fault) return faultDetail(selected.fault, link);
  return recordDetail(model, selected.row);
}

/** What stands there while nothing is selected: operations to choose from, and who gave whom how much. */
function summaryOf(model, choose) {
  const { operations, transfers } = model.head;
  const line = (text, about, onclick) => element("li", {}, element("button", { type: "button", onclick }, element("span", {}, text),
    element("span", { class: "quiet" }, about)));
  const operationLines = operations.slice(0, MAX_SUMMARY_LINES).map((operation) => line(
    `${operation.peer}: ${operation.name} ${operation.game}`,
    `${durationText(operation.end_us - operation.begin_us)}, ${operation.code ?? operation.outcome}`, () => choose({ operation })));
  const transferLines = transfers.slice(0, MAX_SUMMARY_LINES).map((transfer) => line(
    `${transfer.source} → ${transfer.receiver}`, `${transfer.game}, ${sizeText(transfer.bytes)}`, () => choose({ transfer })));
  const part = (title, lines, all) => (lines.length ? [element("h3", {}, title), element("ul", { class: "lines" }, ...lines),
    ...(all > lines.length ? [element("p", { class: "quiet" }, `and ${all - lines.length} more`)] : [])] : []);
  return [element("p", { class: "quiet" }, "Select something in the timeline or the list."),
    ...part("Operations", operationLines, operations.length), ...part("Transfers", transferLines, transfers.length)];
}

function recordDetail(model, row) {
  const entry = parsed(model.texts[row]);
  const run = model.head.runs.find((r) => r.peer === model.head.peers[model.peer[row]] && r.run === model.run[row]);
  const bound = run?.error_us === null || run?.error_us === undefined ? "at the latest" : `or at most ${durationText(run.error_us)} earlier`;
  const isRecord = Boolean(entry?.record);
  const heading = element("h2", {}, nameOf(model, row));
  const list = facts([
    ["peer", model.peer[row] < 0 ? "" : `${model.head.peers[model.peer[row]]}, run ${model.run[row]}`],
    ["kind", kindOf(model, row)],
    ["time", `${momentText(model.at[row])}${isRecord ? `, ${bound}` : ""}`],
    ["read", isRecord ? `${durationText(model.lag[row])} later` : ""],
    ["seq", entry?.record?.seq],
    ["peers in it", namesIn(model, model.texts[row])],
    ["line", `${model.line[row]} of history.jsonl`],
  ]);
  const text = entry ? JSON.stringify(entry.record ?? entry.command ?? entry, null, 2) : model.texts[row];
  return [heading, list, element("pre", {}, text)];
}

function namesIn(model, text) {
  const found = [...model.names].filter(([id]) => text.includes(id)).map(([id, name]) => `${name} is ${id}`);
  return found.slice(0, 4).join(", ");
}

function operationDetail(operation, link) {
  return [
    element("h2", {}, `${operation.name} of ${operation.game}`),
    facts([
      ["peer", operation.peer],
      ["from", momentText(operation.begin_us)],
      ["to", momentText(operation.end_us)],
      ["took", durationText(operation.end_us - operation.begin_us)],
      ["outcome", operation.outcome],
      ["code", operation.code],
      ["size", operation.bytes === null ? "" : `${sizeText(operation.bytes)} (${operation.bytes.toLocaleString("en")} bytes)`],
    ]),
    element("div", { class: "links" }, link("first event", operation.begin), link("last event", operation.end)),
  ];
}

function commandDetail(command, link) {
  return [
    element("h2", {}, command.name),
    facts([
      ["peer", command.peer],
      ["sent", momentText(command.begin_us)],
      ["answered", command.end_us === null ? "never" : momentText(command.end_us)],
      ["after", command.end_us === null ? "" : durationText(command.end_us - command.begin_us)],
      ["outcome", command.outcome],
    ]),
    element("div", { class: "links" }, link("command", command.begin), link("answer", command.end)),
  ];
}

function transferDetail(transfer) {
  const last = transfer.samples[transfer.samples.length - 1][0];
  const took = last - transfer.begin_us;
  return [
    element("h2", {}, `${transfer.source} → ${transfer.receiver}`),
    facts([
      ["game", transfer.game],
      ["bytes", `${sizeText(transfer.bytes)} (${transfer.bytes.toLocaleString("en")} bytes)`],
      ["from", momentText(transfer.begin_us)],
      ["to", momentText(last)],
      ["speed", took > 0 ? `${sizeText(Math.round(transfer.bytes / (took / 1e6)))}/s on average` : ""],
    ]),
    element("p", { class: "quiet" }, "As the receiver reports: verified bytes, at the time of each progress record."),
  ];
}

function faultDetail(fault, link) {
  return [
    element("h2", {}, fault.name),
    facts([
      ["of", fault.peers.join(", ") || "the whole lab"],
      ["from", momentText(fault.begin_us)],
      ["to", fault.end_us === null ? "" : momentText(fault.end_us)],
      ["lasted", fault.end_us === null ? "" : durationText(fault.end_us - fault.begin_us)],
    ]),
    element("div", { class: "links" }, link("begin", fault.begin), link("end", fault.end)),
    Object.keys(fault.detail).length ? element("pre", {}, JSON.stringify(fault.detail, null, 2)) : "",
  ];
}

/** The few words that stand beside the pointer: a title and a time. */
function tipOf(model, found) {
  if (found.operation) return [`${found.operation.name} ${found.operation.game}: ${found.operation.outcome}`, durationText(found.operation.end_us - found.operation.begin_us)];
  if (found.command) {
    const { command } = found;
    return [`${command.name}: ${command.outcome}`, command.end_us === null ? "never answered" : durationText(command.end_us - command.begin_us)];
  }
  if (found.transfer) return [`${found.transfer.source} → ${found.transfer.receiver}`, `${sizeText(found.bytes)} by ${momentText(found.at)}, ${sizeText(found.transfer.bytes)} in all`];
  if (found.fault) return [found.fault.title, found.fault.end_us === null ? momentText(found.fault.begin_us) : `for ${durationText(found.fault.end_us - found.fault.begin_us)}`];
  return [`${kindOf(model, found.row)} ${nameOf(model, found.row)}`, momentText(model.at[found.row])];
}
