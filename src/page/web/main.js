// Which view is shown, and when it asks anew.

import {get} from "./api.js";
import {connections} from "./connections.js";
import {attribute, h, text} from "./dom.js";
import {networks} from "./networks.js";
import {objects} from "./objects.js";
import {overview} from "./overview.js";
import {port, ports} from "./ports.js";
import {trace} from "./trace.js";

const PAUSE = 2000; // milliseconds between two looks
const KEPT = 160; // looks

const views = {"": overview, networks, ports, port, connections, trace, objects};
const main = document.getElementById("main");
const app = {
  // The node at a glance, one for each look; all views share them.
  history: [],
  reasons: {},
  // Drop reasons in the order in which they came.
  seen: new Set(),
};
let current = null; // {update, controller}
let timer = 0;
let turn = 0;

function complain(problem) {
  const bar = document.getElementById("trouble");
  bar.hidden = !problem;
  text(bar, problem ? `${problem} Numbers below are of before.` : "");
}

function health(look) {
  const badge = document.getElementById("health");
  const failed = look.ports.failed;
  const state = look.behind || failed ? "bad" : "good";
  text(document.getElementById("node"), look.node);
  text(badge, look.behind ? "behind" : failed ? `${failed} failed` : "healthy");
  attribute(badge, "class", `badge ${state}`);
  document.title = `${state === "bad" ? "! " : ""}${current?.title || "Overview"} · ${look.node} · Sluice`;
}

async function look() {
  const seen = await get("overview");
  const last = app.history[app.history.length - 1];
  // A node that was started anew counts from 0.
  if (last && seen.time < last.time) app.history.length = 0;
  if (!last || seen.time > last.time) app.history.push(seen);
  if (app.history.length > KEPT) app.history.shift();
  health(seen);
}

async function run(number) {
  const view = current;
  try {
    await look();
    if (number !== turn) return;
    await view.update(view.controller.signal);
    if (number !== turn) return;
    complain("");
  } catch (problem) {
    if (number !== turn || problem.name === "AbortError") return;
    complain(`${problem.message[0].toUpperCase()}${problem.message.slice(1)}.`);
  }
  if (!document.hidden) timer = setTimeout(() => run(number), PAUSE);
}

function begin() {
  clearTimeout(timer);
  turn++;
  run(turn);
}

function show() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
  if (location.hash === "#main") {
    main.focus();
    return;
  }
  const view = views[name] || overview;
  current?.controller.abort();
  const root = h("div", {class: "view"});
  current = {...view(root, new URLSearchParams(query), app), controller: new AbortController()};
  main.replaceChildren(root);
  document.title = `${current.title} · Sluice`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#/${name === "port" ? "ports" : name}`;
    attribute(link, "aria-current", here ? "page" : null);
  }
  begin();
}

function theme() {
  const button = document.getElementById("theme");
  const names = {system: "System theme", light: "Light theme", dark: "Dark theme"};
  let chosen = "system";
  try {
    chosen = localStorage.getItem("theme") || "system";
  } catch { /* not allowed: it lasts as long as the page */ }
  const set = () => {
    document.documentElement.dataset.theme = chosen;
    text(button, names[chosen]);
  };
  button.addEventListener("click", () => {
    const order = Object.keys(names);
    chosen = order[(order.indexOf(chosen) + 1) % order.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch { /* as above */ }
    set();
  });
  set();
}

theme();
window.addEventListener("hashchange", () => {
  show();
  window.scrollTo(0, 0);
});
// Nobody asks for what nobody sees.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) begin();
});
get("reasons").then((reasons) => {
  app.reasons = reasons;
}, () => {});
show();
