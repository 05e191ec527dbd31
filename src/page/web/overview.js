// The node at a glance.

import {get, place} from "./api.js";
import {chart} from "./chart.js";
import {attribute, h, keyed, linked, panel, plain, table, text} from "./dom.js";
import {bits, bytes, count, duration, percent, rate, some} from "./format.js";

const COLOURS = 7;

// What grew between two looks, a second.
export function grown(history, value) {
  const points = [];
  for (let i = 1; i < history.length; i++) {
    const seconds = history[i].time - history[i - 1].time;
    const more = (value(history[i]) - value(history[i - 1])) / seconds;
    points.push({time: history[i].time, value: Math.max(0, more)});
  }
  return points;
}

function tile(label, where) {
  const number = document.createTextNode("");
  const unit = h("small");
  const value = h("strong", {class: "number"}, number, unit);
  const note = h("span", {class: "note"});
  const meter = h("span", {class: "meter", hidden: true}, h("i"));
  const node = h(where ? "a" : "div", {class: "tile", href: where}, h("span", {class: "label"}, label), value, note,
    meter);
  node.show = (main, more, part) => {
    // "1.5 Mbit/s" in two sizes.
    const [, before, after] = /^([\d.\u202f]+ ?)(\D*)$/.exec(main) || [null, main, ""];
    text(number, before);
    text(unit, after);
    text(note, more || "");
    if (part === undefined) return;
    meter.hidden = false;
    meter.firstChild.style.width = `${Math.min(100, part * 100)}%`;
    attribute(meter, "class", `meter${part > 0.9 ? " full" : ""}`);
  };
  return node;
}

// The reasons that count most in the time that is shown, and the rest as one.
function reasonSeries(app, points) {
  const sums = new Map();
  for (const point of points) {
    for (const [reason, value] of Object.entries(point.rates)) sums.set(reason, (sums.get(reason) || 0) + value);
  }
  const order = [...sums].filter(([, sum]) => sum > 0).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .map(([reason]) => reason);
  // Each keeps its place and its colour.
  for (const reason of [...app.seen]) if (!order.includes(reason)) app.seen.delete(reason);
  for (const reason of order) app.seen.add(reason);
  const known = [...app.seen];
  const shown = order.slice(0, COLOURS - 1).sort((a, b) => known.indexOf(a) - known.indexOf(b));
  const series = shown.map((reason) => ({name: reason, title: app.reasons[reason],
    colour: (known.indexOf(reason) % (COLOURS - 1)) + 1, value: (point) => point.rates[reason] || 0}));
  const rest = order.slice(COLOURS - 1);
  if (rest.length) {
    series.push({name: "others", colour: COLOURS,
      value: (point) => rest.reduce((sum, reason) => sum + (point.rates[reason] || 0), 0)});
  }
  return series;
}

export function dropPoints(history) {
  const points = [];
  for (let i = 1; i < history.length; i++) {
    const seconds = history[i].time - history[i - 1].time;
    const rates = {};
    for (const [reason, value] of Object.entries(history[i].drops)) {
      rates[reason] = Math.max(0, (value - (history[i - 1].drops[reason] || 0)) / seconds);
    }
    points.push({time: history[i].time, rates});
  }
  return points;
}

export function overview(root, parameters, app) {
  const tiles = {
    received: tile("From workloads"), sent: tile("To workloads"), uplink: tile("Uplink"),
    connections: tile("Connections", place("connections")), drops: tile("Dropped"),
    workers: tile("Workers busy"), ports: tile("Ports", place("ports")), node: tile("Node"),
  };
  const problems = h("ul", {class: "problems"});
  const throughput = chart("Throughput of the workloads", bits, {scale: 8});
  const drops = chart("Packets dropped, by reason", (value) => rate(value, "packets"), {stacked: true});
  const quiet = h("p", {class: "empty"});
  const reasons = table("Packets dropped, by reason", [
    {title: "Reason", cell: plain((item) => item.reason)},
    {title: "Now", class: "number", cell: plain((item) => rate(item.rate, "packets"))},
    {title: "Total", class: "number", cell: plain((item) => some(item.total, "packet"))},
    {title: "What it means", class: "wide", cell: plain((item) => app.reasons[item.reason] || "")},
  ], (item) => item.reason);
  const busiest = table("Busiest ports", [
    {title: "Port", cell: linked((item) => item.name, (item) => place("port", {name: item.name}))},
    {title: "Network", cell: plain((item) => item.network || "")},
    {title: "Received", class: "number", cell: plain((item) => bits(item.rates?.rxBytes || 0))},
    {title: "Sent", class: "number", cell: plain((item) => bits(item.rates?.txBytes || 0))},
    {title: "Dropped", class: "number", cell: plain((item) => rate(item.rates?.drops || 0, "packets"))},
  ], (item) => item.name);
  const workers = table("Workers", [
    {title: "Worker", cell: plain((item) => `${item.worker} (CPU ${item.cpu})`)},
    {title: "Busy", class: "number", cell: plain((item) => percent(item.busy * 100))},
    {title: "Packets", class: "number", cell: plain((item) => rate(item.packets, "packets"))},
    {title: "New connections", class: "number", cell: plain((item) => rate(item.opened, "connections"))},
  ], (item) => item.worker);
  const layers = table("Layers, in the order in which a first packet meets them", [
    {title: "Layer", cell: plain((item) => item.layer)},
    {title: "Passed", class: "number", cell: plain((item) => count(item.passed))},
    {title: "Dropped", class: "number", cell: plain((item) => count(item.dropped))},
    {title: "Answered", class: "number", cell: plain((item) => count(item.answered))},
  ], (item) => item.layer);
  const changes = table("Latest changes", [
    {title: "Revision", cell: plain((item) => item.revision)},
    {title: "When", class: "nowrap", cell: plain((item) => item.time.replace("T", " ").replace(/\.\d+Z$/, " UTC"))},
    {title: "Who", cell: plain((item) => item.user)},
    {title: "What", class: "wide", cell: plain((item) => [item.action, item.created && `${item.created} created`,
      item.changed && `${item.changed} changed`, item.deleted && `${item.deleted} deleted`, item.confirmation,
      item.comment].filter(Boolean).join(", "))},
  ], (item) => item.revision);
  root.append(h("h1", {class: "hidden"}, "Overview"), problems, h("div", {class: "tiles"}, Object.values(tiles)),
    h("div", {class: "columns"},
      panel("Throughput of the workloads", throughput), panel("Packets dropped, by reason", drops, quiet)),
    h("div", {class: "columns"}, panel("Busiest ports", busiest), panel("Latest changes", changes)),
    panel("Why packets were dropped since start", reasons),
    h("div", {class: "columns"}, panel("Workers", workers), panel("Layers: first packets since start", layers)));
  let revision = null;

  const show = (history) => {
    const look = history[history.length - 1];
    const before = history[history.length - 2] || look;
    const seconds = look.time - before.time || 1;
    const per = (value) => Math.max(0, (value(look) - value(before)) / seconds);
    const stats = look.stats;

    tiles.received.show(bits(per((l) => l.ports.rxBytes)), rate(per((l) => l.ports.rxPackets), "packets"));
    tiles.sent.show(bits(per((l) => l.ports.txBytes)), rate(per((l) => l.ports.txPackets), "packets"));
    tiles.uplink.hidden = !look.uplink;
    if (look.uplink && before.uplink) {
      tiles.uplink.show(bits(per((l) => l.uplink.rxBytes + l.uplink.txBytes)),
        look.uplink.state === "up" ? `${bits(per((l) => l.uplink.rxBytes))} in, ${bits(per((l) => l.uplink.txBytes))} out`
          : look.uplink.state);
    }
    tiles.connections.show(count(stats.connections.current),
      `of ${count(stats.connections.max)}${stats.connections.offloaded
        ? `, ${count(stats.connections.offloaded)} in the kernel` : ""}`,
      stats.connections.current / stats.connections.max);
    const total = (l) => Object.values(l.drops).reduce((sum, value) => sum + value, 0);
    tiles.drops.show(rate(per(total), "packets"), `${count(total(look))} since start`);
    const busy = stats.workers.map((worker, index) => {
      const old = before.stats.workers[index] || worker;
      const time = worker.seconds - old.seconds;
      return {worker: worker.worker, cpu: worker.cpu, busy: time > 0 ? (worker.busySeconds - old.busySeconds) / time : 0,
        packets: Math.max(0, worker.packets - old.packets) / seconds,
        opened: Math.max(0, worker.connectionsOpened - old.connectionsOpened) / seconds};
    });
    const most = Math.max(0, ...busy.map((worker) => worker.busy));
    const mean = busy.reduce((sum, worker) => sum + worker.busy, 0) / busy.length;
    tiles.workers.show(percent(mean * 100), busy.length > 1 ? `${busy.length} workers, the busiest ${percent(most * 100)}`
      : "1 worker", most);
    const {up, down, failed} = look.ports;
    tiles.ports.show(`${count(up)} up`, `${count(down)} down, ${count(failed)} failed`);
    tiles.node.show(duration(stats.process.uptimeSeconds), `up, revision ${look.revision}, Sluice ${look.version}, ${
      bytes(stats.process.residentBytes)}`);
    const list = look.troubles.map((trouble) => ({key: `port ${trouble.port}`, port: trouble.port,
      words: `: ${trouble.problem.replace(`port ${trouble.port}: `, "")}`}));
    if (look.behind) list.unshift({key: "behind", words: `What is in force is not what is stored: ${look.behind}`});
    if (look.uplink && look.uplink.state !== "up") {
      list.push({key: "uplink", words: `The uplink is not up: ${look.uplink.state}`});
    }
    if (stats.connections.current > stats.connections.max * 0.9) {
      list.push({key: "full", words: "The connection table is nearly full: --connections is how many it holds."});
    }
    keyed(problems, list, (item) => item.key, (item) => {
      const link = item.port && h("a", {href: place("port", {name: item.port})}, item.port);
      const words = h("span");
      const node = h("li", {}, item.port ? "Port " : "", link, words);
      node.update = (now) => text(words, now.words);
      return node;
    });
    problems.hidden = !list.length;

    const received = grown(history, (l) => l.ports.rxBytes);
    const sent = grown(history, (l) => l.ports.txBytes);
    throughput.show(received.map((point, index) => ({time: point.time, rx: point.value, tx: sent[index].value})), [
      {name: "from workloads", colour: 1, value: (point) => point.rx},
      {name: "to workloads", colour: 2, value: (point) => point.tx}]);
    const points = dropPoints(history);
    const series = reasonSeries(app, points);
    drops.show(points, series);
    text(quiet, series.length ? "" : "None within these minutes.");
    const now = points.length ? points[points.length - 1].rates : {};
    reasons.show(Object.entries(look.drops).sort((a, b) => b[1] - a[1])
      .map(([reason, value]) => ({reason, total: value, rate: now[reason] || 0})));
    workers.show(busy);
    layers.show(stats.layers);
  };

  if (app.history.length) show(app.history);
  return {
    title: "Overview",
    async update(signal) {
      show(app.history);
      busiest.show((await get("ports", {sort: "rate", limit: 8}, signal)).ports);
      const look = app.history[app.history.length - 1];
      if (look.revision === revision) return;
      changes.show((await get("history", {limit: 6}, signal)).history.entries);
      revision = look.revision;
    },
  };
}
