// What the node was told, and what it has of it.

import {get, place} from "./api.js";
import {attribute, choice, field, h, panel, plain, table, text} from "./dom.js";
import {lines, some} from "./format.js";
import {pager, stateCell} from "./ports.js";

const ROWS = 50;
const STATUS = 10; // seconds

export function objects(root, parameters, app) {
  const wanted = {kind: parameters.get("kind") || "SecurityGroup", search: parameters.get("search") || "",
    offset: Number(parameters.get("offset")) || 0};
  const summary = h("p", {class: "summary", role: "status"});
  const kinds = Object.keys(app.history[0]?.objects
    || {Node: 0, Vrf: 0, Network: 0, SecurityGroup: 0, Port: 0});
  const inputs = {
    kind: choice("kind", kinds.map((kind) => [kind, kind]), wanted.kind),
    search: h("input", {type: "search", name: "search", value: wanted.search, placeholder: "part of a name"}),
  };
  const pages = pager((offset) => place("objects", {...wanted, offset}));
  const list = table("Objects", [
    {title: "Name", cell: plain((item) => item.name)},
    {title: "Status", cell: (cell, item) => stateCell(cell, item.status?.state || "active", item.status?.reason)},
    {title: "Object", class: "wide", cell: (cell, item) => {
      if (!cell.firstChild) {
        cell.append(h("details", {}, h("summary", {}), h("pre", {class: "code", tabindex: "0"})));
      }
      const [title, body] = cell.firstChild.children;
      const {status, ...object} = item;
      text(title, `${lines(object).trim().split("\n").length} lines${status?.reason ? `; ${status.reason}` : ""}`);
      attribute(title, "aria-label", `${item.kind} ${item.name}`);
      text(body, lines(object));
    }},
  ], (item) => `${item.kind}/${item.name}`);
  const form = h("form", {class: "filters", role: "search", onsubmit: (event) => event.preventDefault(),
    oninput: () => {
      wanted.kind = inputs.kind.value;
      wanted.search = inputs.search.value.trim();
      wanted.offset = 0;
      history.replaceState(null, "", place("objects", wanted));
      update().catch((problem) => text(summary, problem.message));
    }}, field("Kind", inputs.kind), field("Search", inputs.search));

  async function update(signal) {
    const asked = JSON.stringify(wanted);
    const answer = await get("objects", {...wanted, limit: ROWS}, signal);
    if (asked !== JSON.stringify(wanted)) return;
    list.show(answer.objects);
    text(summary, `${some(answer.total, "object")} of revision ${answer.revision}`);
    pages.show(wanted.offset, ROWS, answer.total);
  }

  root.append(h("h1", {}, "Objects"), form, summary, panel("Objects", list, pages));
  let told = {};
  return {
    title: "Objects",
    // They change with the revision; their status may at any time.
    async update(signal) {
      const look = app.history[app.history.length - 1];
      if (told.revision === look.revision && look.time - told.time < STATUS) return;
      await update(signal);
      told = look;
    },
  };
}
