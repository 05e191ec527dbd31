// Networks, with their ports and what goes on in them.

import {get, place} from "./api.js";
import {h, linked, panel, plain, table, text} from "./dom.js";
import {bits, count, rate, some} from "./format.js";
import {pager, stateCell} from "./ports.js";

const ROWS = 100;

export function networks(root, parameters) {
  const wanted = {search: parameters.get("search") || "", offset: Number(parameters.get("offset")) || 0};
  const summary = h("p", {class: "summary", role: "status"});
  const search = h("input", {type: "search", name: "search", value: wanted.search, placeholder: "part of a name",
    "aria-label": "Search networks"});
  const pages = pager((offset) => place("networks", {...wanted, offset}));
  const list = table("Networks", [
    {title: "Network", cell: linked((item) => item.object.name, (item) => place("ports",
      {network: item.object.name, where: "all"}))},
    {title: "Status", cell: (cell, item) => stateCell(cell, item.object.status?.state || "active",
      item.object.status?.reason)},
    {title: "VNI", class: "number", cell: plain((item) => item.object.vni || "local")},
    {title: "VRF", cell: plain((item) => item.object.vrf || "not routed")},
    {title: "Subnets", class: "wide code", cell: plain((item) =>
      (item.object.subnets || []).map((subnet) => subnet.cidr).join(", "))},
    {title: "Ports here", class: "number", cell: plain((item) => `${count(item.up)} up${
      item.down ? `, ${count(item.down)} down` : ""}${item.failed ? `, ${count(item.failed)} failed` : ""}`)},
    {title: "Elsewhere", class: "number", cell: plain((item) => some(item.elsewhere, "port"))},
    {title: "Received", class: "number", cell: plain((item) => bits(item.rxBytes))},
    {title: "Sent", class: "number", cell: plain((item) => bits(item.txBytes))},
    {title: "Dropped", class: "number", cell: plain((item) => rate(item.drops, "packets"))},
  ], (item) => item.object.name);
  const form = h("form", {class: "filters", role: "search", onsubmit: (event) => event.preventDefault(),
    oninput: () => {
      wanted.search = search.value;
      wanted.offset = 0;
      history.replaceState(null, "", place("networks", wanted));
      update().catch(() => {});
    }}, search);

  async function update(signal) {
    const asked = wanted.search;
    const answer = await get("networks", {...wanted, limit: ROWS}, signal);
    if (asked !== wanted.search) return;
    list.show(answer.networks);
    text(summary, answer.total ? `${some(answer.total, "network")}; rates are of the ports of this node`
      : wanted.search ? "No network has that in its name." : "There are no networks.");
    pages.show(wanted.offset, ROWS, answer.total);
  }

  root.append(h("h1", {}, "Networks"), form, summary, panel("Networks", list, pages));
  return {title: "Networks", update};
}
