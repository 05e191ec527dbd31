// A search over the live connections, by all that `sluice flows` can filter by.

import {get, place} from "./api.js";
import {choice, field, h, linked, panel, plain, table, text} from "./dom.js";
import {bytes, count, duration, endpoint, some} from "./format.js";

const ROWS = 200;
const STATES = ["unreplied", "replied", "icmp", "other", "syn-sent", "syn-received", "picked-up", "established", "closing",
  "time-wait", "closed", "sctp-opening", "sctp-established", "sctp-shutdown"];

const FIELDS = [
  ["address", "Address", "either side: 10.1.0.0/24"], ["port", "At port", "name of a Port"],
  ["network", "Network", "where it was opened"], ["source", "Opened by", "address or prefix"],
  ["sourcePort", "From port number", "1024-65535"], ["destination", "To", "address or prefix"],
  ["destinationPort", "To port number", "80 or 80-81"], ["state", "State", "established"], ["rule", "Let in by", "web or web[0]"],
];

export function connections(root, parameters) {
  const wanted = {};
  for (const name of [...FIELDS.map(([field_]) => field_), "protocol", "offloaded"]) {
    if (parameters.get(name)) wanted[name] = parameters.get(name);
  }
  const summary = h("p", {class: "summary", role: "status"});
  const more = h("button", {type: "button", hidden: true}, "Show more");
  const inputs = Object.fromEntries(FIELDS.map(([name, , hint]) =>
    [name, h("input", {name, value: wanted[name] || "", placeholder: hint, autocomplete: "off", spellcheck: "false",
      list: name === "state" ? "states" : null})]));
  inputs.protocol = choice("protocol", [["", "any"], ["tcp", "TCP"], ["udp", "UDP"], ["sctp", "SCTP"], ["icmp", "ICMP"],
    ["icmpv6", "ICMPv6"]], wanted.protocol || "");
  inputs.offloaded = choice("offloaded", [["", "anyone"], ["true", "the kernel"], ["false", "Sluice"]],
    wanted.offloaded || "");
  const isIcmp = (item) => item.protocol.startsWith("icmp");
  const list = table("Connections", [
    {title: "Protocol", cell: plain((item) => item.protocol)},
    {title: "From", class: "code", cell: plain((item) => endpoint(item.source, isIcmp(item) ? null : item.sourcePort))},
    {title: "At", cell: atPort("sourceAt")},
    {title: "To", class: "code", cell: plain((item) =>
      endpoint(item.destination, isIcmp(item) ? null : item.destinationPort))},
    {title: "At", cell: atPort("destinationAt")},
    {title: "Network", cell: plain((item) => item.network)},
    {title: "State", cell: plain((item) => `${item.state}${item.offloaded ? ", in the kernel" : ""}`)},
    {title: "Packets", class: "number", cell: plain((item) => some(item.packets, "packet"))},
    {title: "Bytes", class: "number", cell: plain((item) => bytes(item.bytes))},
    {title: "Rule", cell: plain((item) => item.rule)},
    {title: "Age", class: "number", cell: plain((item) => duration(item.age))},
    {title: "Idle", class: "number", cell: plain((item) => duration(item.idle))},
  ], (item) => [item.network, item.protocol, item.source, item.sourcePort, item.destination, item.destinationPort]
    .join(" "));
  const form = h("form", {class: "filters", role: "search", onsubmit: (event) => event.preventDefault(),
    oninput: () => {
      for (const [name, input] of Object.entries(inputs)) wanted[name] = input.value.trim();
      history.replaceState(null, "", place("connections", wanted));
      rows = ROWS;
      start();
    }},
  field("Protocol", inputs.protocol), FIELDS.map(([name, label]) => field(label, inputs[name])),
  field("Forwarded by", inputs.offloaded), h("datalist", {id: "states"}, STATES.map((value) => h("option", {value}))),
  h("button", {type: "button", class: "quiet", onclick: () => {
    for (const input of Object.values(inputs)) input.value = "";
    form.dispatchEvent(new Event("input"));
  }}, "Clear"));
  let rows = ROWS;
  let turn = 0;

  function atPort(name) {
    return linked((item) => item[name], (item) => place("port", {name: item[name].split("/")[0]}));
  }

  // The node looks at a part of its table at a time.
  async function update(signal) {
    const mine = ++turn;
    const found = [];
    let position = 1;
    let end = 1;
    while (position && found.length < rows) {
      const answer = await get("connections", {...wanted, position, limit: Math.min(ROWS, rows - found.length)}, signal);
      if (mine !== turn) return;
      found.push(...answer.connections);
      position = answer.next;
      end = answer.end;
      if (position && found.length < rows && end > 100000) {
        text(summary, `${count(found.length)} found, ${Math.floor((position / end) * 100)} % of the table searched …`);
      }
    }
    list.show(found);
    more.hidden = !position;
    text(summary, position ? `The first ${some(found.length, "connection")}` : found.length
      ? some(found.length, "connection") : "No connection is like that.");
  }

  function start() {
    update().catch((problem) => {
      list.show([]);
      more.hidden = true;
      text(summary, problem.message);
    });
  }

  more.addEventListener("click", () => {
    rows += ROWS;
    start();
  });
  root.append(h("h1", {}, "Connections"), form, summary, panel("Connections", list, more));
  return {
    title: "Connections",
    // What is wrong with a filter is said beside the filter.
    update: (signal) => update(signal).catch((problem) => {
      if (problem.name === "AbortError") throw problem;
      list.show([]);
      text(summary, problem.message);
    }),
  };
}
