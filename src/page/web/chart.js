// Charts over time, and sparklines: SVG that is redrawn in place.

import {attribute, h, svg, text} from "./dom.js";
import {round} from "./format.js";

const WIDTH = 600;
const HEIGHT = 150;
export const WINDOW = 300; // seconds

function path(points, window, now, top, value) {
  return points.map((point, index) => {
    const x = WIDTH - ((now - point.time) / window) * WIDTH;
    return `${index ? "L" : "M"}${x.toFixed(1)} ${(HEIGHT - (value(point) / top) * HEIGHT).toFixed(1)}`;
  }).join("");
}

// show(points, series): points are {time, ...}, series [{name, colour (a number), value(point)}]. `stacked`: on top
// of each other. `format` prints a value with its unit, which is 1 / `scale` of the value's.
export function chart(title, format, {stacked = false, scale = 1} = {}) {
  const drawing = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": title});
  const areas = svg("g");
  const cursor = svg("line", {y1: 0, y2: HEIGHT, class: "cursor", visibility: "hidden"});
  for (const part of [0.5, 1]) {
    drawing.append(svg("line", {x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part, class: "grid"}));
  }
  drawing.append(areas, cursor);
  const top = h("span", {class: "top"});
  const middle = h("span", {class: "middle"});
  const left = h("span", {}, `${WINDOW / 60} min ago`);
  const legend = h("ul", {class: "legend"});
  const node = h("figure", {class: "chart"},
    h("div", {class: "plot"}, drawing, top, middle),
    h("div", {class: "times", "aria-hidden": "true"}, left, h("span", {}, "now")), legend);
  let last = null;
  let pointer = null;

  const draw = () => {
    const {points, series} = last;
    const now = points.length ? points[points.length - 1].time : 0;
    const from = now - WINDOW;
    const shown = points.filter((point) => point.time >= from);
    // On top of what is below.
    const values = shown.map((point) => {
      let sum = 0;
      return series.map((one) => (stacked ? (sum += one.value(point)) : one.value(point)));
    });
    const most = round(Math.max(0, ...values.flat()) * scale) / scale;
    text(top, format(most));
    text(middle, format(most / 2));
    while (areas.childElementCount > series.length * 2) areas.lastChild.remove();
    while (areas.childElementCount < series.length * 2) {
      areas.append(svg("path", {class: "area"}), svg("path", {class: "line"}));
    }
    // The topmost first, so that the others are painted over it.
    series.forEach((one, index) => {
      const at = 2 * (series.length - 1 - index);
      const places = shown.map((point, number) => ({time: point.time, value: values[number][index]}));
      const line = path(places, WINDOW, now, most, (place) => place.value);
      const begin = shown.length ? WIDTH - ((now - shown[0].time) / WINDOW) * WIDTH : 0;
      attribute(areas.children[at], "d", line ? `${line}L${WIDTH} ${HEIGHT}L${begin.toFixed(1)} ${HEIGHT}Z` : "");
      attribute(areas.children[at + 1], "d", line);
      attribute(areas.children[at], "class", `area colour-${one.colour}${stacked ? " full" : ""}`);
      attribute(areas.children[at + 1], "class", `line colour-${one.colour}`);
    });
    const wanted = pointer === null || !shown.length ? shown[shown.length - 1]
      : shown.reduce((best, point) => (Math.abs(point.time - (now - WINDOW * (1 - pointer)))
        < Math.abs(best.time - (now - WINDOW * (1 - pointer))) ? point : best));
    if (wanted && pointer !== null) {
      const x = WIDTH - ((now - wanted.time) / WINDOW) * WIDTH;
      attribute(cursor, "x1", x);
      attribute(cursor, "x2", x);
    }
    attribute(cursor, "visibility", pointer === null ? "hidden" : "visible");
    while (legend.childElementCount > series.length) legend.lastChild.remove();
    while (legend.childElementCount < series.length) {
      legend.append(h("li", {}, h("i"), h("span", {class: "name"}), h("b", {class: "number"})));
    }
    series.forEach((one, index) => {
      const [mark, name, value] = legend.children[index].children;
      attribute(mark, "class", `mark colour-${one.colour}`);
      text(name, one.name);
      attribute(legend.children[index], "title", one.title || one.name);
      text(value, wanted ? format(one.value(wanted)) : "–");
    });
    attribute(drawing, "aria-label", `${title}: ${series.map((one) =>
      `${one.name} ${wanted ? format(one.value(wanted)) : "unknown"}`).join(", ") || "nothing"}`);
  };

  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    pointer = (event.clientX - box.left) / box.width;
    if (last) draw();
  });
  drawing.addEventListener("pointerleave", () => {
    pointer = null;
    if (last) draw();
  });
  node.show = (points, series) => {
    last = {points, series};
    draw();
  };
  return node;
}

// show(values): the last ones, newest at the right; two series.
export function sparkline(label) {
  const width = 90;
  const height = 22;
  const lines = [2, 1].map((colour) => svg("path", {class: `line colour-${colour}`}));
  const drawing = svg("svg", {viewBox: `0 0 ${width} ${height}`, class: "spark", role: "img", "aria-label": label},
    lines);
  drawing.show = (points, capacity) => {
    const most = Math.max(1, ...points.flat());
    lines.forEach((line, index) => {
      attribute(line, "d", points.map((point, number) => {
        const x = width - ((points.length - 1 - number) / (capacity - 1)) * width;
        const y = height - 2 - (point[1 - index] / most) * (height - 4);
        return `${number ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      }).join(""));
    });
  };
  return drawing;
}
