// A made-up packet's walk through the layers.

import {get, place} from "./api.js";
import {attribute, choice, field, h, panel, text} from "./dom.js";
import {endpoint} from "./format.js";

const NAMES = ["port", "protocol", "source", "sourcePort", "destination", "destinationPort", "ttl", "flags", "size"];

// As `sluice trace` reads it.
export function expression(values) {
  const icmp = values.protocol === "icmp";
  const side = (address, port) => endpoint(address, icmp ? null : port || "0");
  let words = `${values.protocol} ${side(values.source, values.sourcePort)} > ${
    side(values.destination, values.destinationPort)}`;
  for (const name of ["ttl", "flags", "size"]) {
    if (values[name] && (name !== "flags" || values.protocol === "tcp")) words += ` ${name} ${values[name]}`;
  }
  return words;
}

function station(kind, title, words, note) {
  return h("li", {class: `station ${kind}`}, h("i", {class: "dot", "aria-hidden": "true"}),
    h("div", {}, h("b", {}, title), note && h("span", {class: "hidden"}, ` (${note})`), words && h("p", {}, words)));
}

// Where it entered, each layer with what it decided, those that it never came to, and the end.
function draw(answer, values, layers, reasons) {
  const dropped = answer.verdict === "drop";
  const steps = answer.steps;
  const reached = new Set(steps.map((step) => step.layer));
  const last = Math.max(...layers.map((layer, index) => (reached.has(layer) ? index : -1)));
  const list = h("ol", {class: `walk ${dropped ? "ends" : "arrives"}`, "aria-label": "The packet's walk"});

  list.append(station("start", `Enters at ${values.port}`, expression(values)));
  steps.forEach((step, index) => {
    const end = dropped && index === steps.length - 1;
    list.append(station(end ? "stop" : "pass", step.layer, step.text, end ? "dropped here" : "passed"));
  });
  if (dropped) {
    for (const layer of layers.slice(last + 1)) {
      if (!reached.has(layer)) list.append(station("never", layer, "", "not reached"));
    }
  }
  const outputs = answer.outputs.map((output) => `${output.frame.length / 2} bytes to ${output.port}`);
  list.append(station(dropped ? "dropped" : "allowed",
    dropped ? `Dropped: ${answer.reason}` : "Allowed", dropped
      ? [reasons[answer.reason] || "", outputs.length ? ` Answered by ${outputs.join(", ")}.` : ""].join("")
      : outputs.length ? `Leaves as ${outputs.join(", ")}.` : "Nothing leaves."));
  return list;
}

export function trace(root, parameters, app) {
  const options = h("datalist", {id: "port-names"});
  const inputs = {
    port: h("input", {name: "port", required: true, list: "port-names", autocomplete: "off", spellcheck: "false",
      placeholder: "name of a Port"}),
    protocol: choice("protocol", [["tcp", "TCP"], ["udp", "UDP"], ["icmp", "ICMP"]], parameters.get("protocol") || "tcp"),
    source: h("input", {name: "source", required: true, placeholder: "10.1.0.11", autocomplete: "off"}),
    sourcePort: h("input", {name: "sourcePort", inputmode: "numeric", value: "40000"}),
    destination: h("input", {name: "destination", required: true, placeholder: "10.1.0.12", autocomplete: "off"}),
    destinationPort: h("input", {name: "destinationPort", inputmode: "numeric", value: "80"}),
    ttl: h("input", {name: "ttl", inputmode: "numeric", placeholder: "64"}),
    flags: h("input", {name: "flags", placeholder: "S"}),
    size: h("input", {name: "size", inputmode: "numeric", placeholder: "smallest"}),
  };
  for (const name of NAMES) if (parameters.get(name)) inputs[name].value = parameters.get(name);
  const result = h("div", {class: "result", "aria-live": "polite"},
    h("p", {class: "empty"}, "No packet is sent: the layers say what they would do with this one."));
  const command = h("code");
  const shell = h("p", {class: "command"}, "The same in a shell: ", command);
  const values = () => Object.fromEntries(NAMES.map((name) => [name, inputs[name].value.trim()]));
  let asked = 0;

  function prepare() {
    const now = values();
    const icmp = now.protocol === "icmp";
    inputs.sourcePort.disabled = icmp;
    inputs.destinationPort.disabled = icmp;
    inputs.flags.disabled = now.protocol !== "tcp";
    shell.hidden = !now.port || !now.source || !now.destination;
    text(command, `sluice trace --port ${quote(now.port)} ${quote(expression(now))}`);
  }

  // For a shell.
  function quote(word) {
    return /^[A-Za-z0-9_.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  }

  async function suggest() {
    const typed = inputs.port.value.trim();
    const answer = await get("ports", {search: typed, where: "all", limit: 20});
    if (typed !== inputs.port.value.trim()) return;
    options.replaceChildren(...answer.ports.filter((item) => item.addresses).map((item) =>
      h("option", {value: item.name}, (item.addresses || []).join(", "))));
    const exact = answer.ports.find((item) => item.name === typed);
    // An address that a person typed stays.
    if (exact?.addresses?.length && (!inputs.source.value || inputs.source.value === inputs.source.filled)) {
      inputs.source.value = exact.addresses[0];
      inputs.source.filled = exact.addresses[0];
      prepare();
    }
  }

  async function run() {
    const mine = ++asked;
    const now = values();
    history.replaceState(null, "", place("trace", now));
    try {
      const answer = await get("trace", {port: now.port, packet: expression(now)});
      if (mine !== asked) return;
      const layers = app.history.length ? app.history[app.history.length - 1].stats.layers.map((one) => one.layer) : [];
      result.replaceChildren(draw(answer.trace, now, layers, app.reasons));
    } catch (problem) {
      if (mine === asked) result.replaceChildren(h("p", {class: "wrong"}, problem.message));
    }
  }

  const form = h("form", {class: "filters trace", onsubmit: (event) => {
    event.preventDefault();
    run();
  }, oninput: (event) => {
    prepare();
    if (event.target === inputs.port) suggest().catch(() => {});
  }},
  field("Enters at port", inputs.port), field("Protocol", inputs.protocol),
  field("From address", inputs.source), field("From port number", inputs.sourcePort),
  field("To address", inputs.destination), field("To port number", inputs.destinationPort),
  field("Hop limit", inputs.ttl), field("TCP flags", inputs.flags), field("Size in bytes", inputs.size), options,
  h("button", {type: "submit", class: "main"}, "Trace"));

  root.append(h("h1", {}, "Trace"), h("div", {class: "columns side"}, panel("Packet", form, shell),
    panel("Walk through the layers", result)));
  prepare();
  attribute(form, "aria-label", "A packet");
  let begun = false;
  return {
    title: "Trace",
    async update() {
      if (begun) return;
      begun = true;
      await suggest();
      if (parameters.get("destination")) await run();
    },
  };
}
