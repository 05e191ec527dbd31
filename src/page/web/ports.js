// Ports: the list, which the node sorts and cuts, and one of them.

import {get, place} from "./api.js";
import {chart, sparkline} from "./chart.js";
import {attribute, choice, field, h, linked, panel, plain, table, text} from "./dom.js";
import {bits, bytes, count, lines, rate, some} from "./format.js";

const ROWS = 50;
const POINTS = 31;

export function stateCell(cell, state, reason) {
  const badge = cell.firstChild || cell.appendChild(h("span", {class: "badge"}));
  const kind = {up: "good", active: "good", failed: "bad", down: "dim"}[state] || "dim";
  text(badge, state);
  attribute(badge, "class", `badge ${kind}`);
  attribute(badge, "title", reason || null);
}

// Links to the pages of a long list; show(offset, size, total).
export function pager(where) {
  const before = h("a", {class: "button"}, "‹ Previous");
  const after = h("a", {class: "button"}, "Next ›");
  const words = h("span");
  const node = h("nav", {class: "pager", "aria-label": "Pages", hidden: true}, before, words, after);
  node.show = (offset, size, total) => {
    node.hidden = total <= size && !offset;
    text(words, `${count(total ? offset + 1 : 0)} to ${count(Math.min(offset + size, total))} of ${count(total)}`);
    attribute(before, "href", offset > 0 ? where(Math.max(0, offset - size)) : null);
    attribute(after, "href", offset + size < total ? where(offset + size) : null);
    attribute(before, "aria-disabled", offset > 0 ? null : "true");
    attribute(after, "aria-disabled", offset + size < total ? null : "true");
  };
  return node;
}

export function ports(root, parameters) {
  const wanted = {sort: "name", where: "here"};
  for (const name of ["search", "network", "state", "where", "sort"]) {
    if (parameters.get(name)) wanted[name] = parameters.get(name);
  }
  wanted.offset = Number(parameters.get("offset")) || 0;
  const sparks = new Map();
  const summary = h("p", {class: "summary", role: "status"});
  const inputs = {
    search: h("input", {type: "search", name: "search", value: wanted.search || "",
      placeholder: "name, address or MAC address"}),
    network: h("input", {name: "network", value: wanted.network || "", placeholder: "any"}),
    state: choice("state", [["", "any"], ["up", "up"], ["down", "down"], ["failed", "failed"]], wanted.state || ""),
    where: choice("where", [["here", "this node"], ["all", "all nodes"]], wanted.where),
    sort: choice("sort", [["name", "name"], ["rate", "busiest first"], ["received", "received most"],
      ["sent", "sent most"], ["drops", "dropped most"]], wanted.sort),
  };
  const pages = pager((offset) => place("ports", {...wanted, offset}));
  const list = table("Ports", [
    {title: "Port", cell: linked((item) => item.name, (item) => place("port", {name: item.name}))},
    {title: "State", cell: (cell, item) => stateCell(cell, item.state === "elsewhere" ? `on ${item.node}` : item.state,
      item.stats?.state)},
    {title: "Network", cell: plain((item) => item.network || "")},
    {title: "Addresses", class: "wide code", cell: plain((item) => (item.addresses || []).join(", "))},
    {title: "Received", class: "number", cell: plain((item) => (item.rates ? bits(item.rates.rxBytes) : "–"))},
    {title: "Sent", class: "number", cell: plain((item) => (item.rates ? bits(item.rates.txBytes) : "–"))},
    {title: "Dropped", class: "number", cell: plain((item) => (item.rates ? rate(item.rates.drops, "packets") : "–"))},
    {title: "Last minute", class: "spark", cell: (cell, item) => {
      const drawing = cell.firstChild || cell.appendChild(sparkline("Received and sent in the last minute"));
      drawing.show(sparks.get(item.name) || [], POINTS);
    }},
  ], (item) => item.name);
  const form = h("form", {class: "filters", role: "search", onsubmit: (event) => event.preventDefault(),
    oninput: () => {
      for (const [name, input] of Object.entries(inputs)) wanted[name] = input.value.trim();
      wanted.offset = 0;
      history.replaceState(null, "", place("ports", wanted));
      update().catch((problem) => text(summary, problem.message));
    }}, field("Search", inputs.search), field("Network", inputs.network), field("State", inputs.state),
  field("Where", inputs.where), field("Order", inputs.sort));

  function remember(answer) {
    const shown = new Set(answer.ports.map((item) => item.name));
    for (const name of sparks.keys()) if (!shown.has(name)) sparks.delete(name);
    for (const item of answer.ports) {
      if (!item.rates) continue;
      const points = sparks.get(item.name) || [];
      if (points.time !== answer.time) points.push([item.rates.rxBytes, item.rates.txBytes]);
      points.time = answer.time;
      if (points.length > POINTS) points.shift();
      sparks.set(item.name, points);
    }
  }

  async function update(signal) {
    const asked = JSON.stringify(wanted);
    const answer = await get("ports", {...wanted, limit: ROWS}, signal);
    if (asked !== JSON.stringify(wanted)) return;
    remember(answer);
    list.show(answer.ports);
    text(summary, answer.total ? some(answer.total, "port") : "No port is like that.");
    pages.show(wanted.offset, ROWS, answer.total);
  }

  root.append(h("h1", {}, "Ports"), form, summary, panel("Ports", list, pages));
  return {title: "Ports", update};
}

export function port(root, parameters, app) {
  const name = parameters.get("name") || "";
  const state = h("span");
  const facts = h("dl", {class: "facts"});
  const rates = chart(`Throughput of ${name}`, bits, {scale: 8});
  const missing = h("p", {class: "empty"});
  const drops = table(`Packets of ${name} dropped, by reason`, [
    {title: "Reason", cell: plain((item) => item.reason)},
    {title: "Packets", class: "number", cell: plain((item) => some(item.packets, "packet"))},
    {title: "What it means", class: "wide", cell: plain((item) => app.reasons[item.reason] || "")},
  ], (item) => item.reason);
  const none = h("p", {class: "empty"});
  const written = h("pre", {class: "code", tabindex: "0"});
  const points = [];
  const links = h("p", {class: "links"},
    h("a", {class: "button", href: place("connections", {port: name})}, "Connections"),
    h("a", {class: "button", href: place("trace", {port: name})}, "Trace a packet from here"));
  root.append(h("h1", {}, name, " ", state), missing, links,
    h("div", {class: "columns"}, panel("Throughput", rates), panel("Since it was made", facts)),
    panel("Dropped", drops, none), panel("Object", written));
  if (name === "uplink" || name === "uplink-host") {
    written.parentNode.hidden = true;
    links.lastChild.hidden = true;
  }

  function show(item, time) {
    const {stats} = item;
    stateCell(state, item.state === "elsewhere" ? `on ${item.node}` : item.state, stats?.state);
    const list = [["State", stats?.state || `on node ${item.node}`], ["Network", item.network], ["Node", item.node],
      ["MAC address", item.mac], ["Addresses", (item.addresses || []).join(", ")]];
    if (stats) {
      list.push(["Received", `${some(stats.rxPackets, "packet")}, ${bytes(stats.rxBytes)}`],
        ["Sent", `${some(stats.txPackets, "packet")}, ${bytes(stats.txBytes)}`]);
    }
    const filled = list.filter(([, value]) => value);
    while (facts.childElementCount > filled.length) facts.lastChild.remove();
    while (facts.childElementCount < filled.length) facts.append(h("div", {}, h("dt"), h("dd")));
    filled.forEach(([label, value], index) => {
      text(facts.children[index].firstChild, label);
      text(facts.children[index].lastChild, value);
    });
    if (item.rates && points[points.length - 1]?.time !== time) {
      points.push({time, rx: item.rates.rxBytes, tx: item.rates.txBytes});
    }
    if (points.length > 200) points.shift();
    rates.show(points, [{name: "received from it", colour: 1, value: (point) => point.rx},
      {name: "sent to it", colour: 2, value: (point) => point.tx}]);
    const reasons = Object.entries(stats?.drops || {}).map(([reason, packets]) => ({reason, packets}));
    drops.show(reasons.sort((a, b) => b.packets - a.packets));
    text(none, reasons.length ? "" : "None.");
  }

  return {
    title: `Port ${name}`,
    async update(signal) {
      const answer = await get("ports", {name, where: "all"}, signal);
      text(missing, answer.total ? "" : "There is no such port.");
      if (!answer.total) return;
      show(answer.ports[0], answer.time);
      if (written.parentNode.hidden) return;
      text(written, lines((await get("objects", {kind: "Port", name}, signal)).objects[0]));
    },
  };
}
