// Elements. Text is set as text, never as markup: names of objects are anybody's.

const ROOM = 98; // pixels of a column
const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== undefined && child !== null && child !== false) node.append(child);
  }
  return node;
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

// Only what changed is touched, so that nothing flickers, and selected text and focus stay.
export function text(node, value) {
  const wanted = String(value);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function attribute(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Makes the children of `parent` those of `items`, by key: create(item) makes an element, whose `update` property is
// called with the item each time.
export function keyed(parent, items, key, create) {
  const have = parent.keyed || new Map();
  const next = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    if (next.has(name)) continue;
    const node = have.get(name) || create(item);
    node.update(item);
    next.set(name, node);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const [name, node] of have) if (!next.has(name)) node.remove();
  parent.keyed = next;
}

// A table: columns are {title, class, cell(td, item), head (an element instead of the title)}; rows have keys.
export function table(caption, columns, key) {
  const body = h("tbody");
  const node = h("table", {},
    h("caption", {class: "hidden"}, caption),
    h("thead", {}, h("tr", {}, columns.map((column) =>
      h("th", {scope: "col", class: column.class}, column.head || column.title)))),
    body);
  const create = () => {
    const cells = columns.map((column, index) => h(index ? "td" : "th",
      {class: column.class, "data-label": column.title, scope: index ? null : "row"}));
    const row = h("tr", {}, cells);
    row.update = (item) => columns.forEach((column, index) => column.cell(cells[index], item, row));
    return row;
  };
  // Where there is no room for all columns, rows become cards.
  const arrange = (width) => node.classList.toggle("cards", width < columns.length * ROOM);
  const room = new ResizeObserver(([entry]) => arrange(entry.contentRect.width));
  let watched = false;
  node.show = (items) => {
    if (!watched && node.parentNode) {
      arrange(node.parentNode.clientWidth);
      room.observe(node.parentNode);
      watched = true;
    }
    keyed(body, items, key, create);
  };
  return node;
}

// A cell that shows text, or a link to another view.
export const plain = (value) => (cell, item) => text(cell, value(item));
export const linked = (value, where) => (cell, item) => {
  const link = cell.firstChild || cell.appendChild(h("a"));
  text(link, value(item));
  attribute(link, "href", where(item));
};

export function panel(title, ...children) {
  return h("section", {class: "panel", "aria-label": title}, h("h2", {}, title), children);
}

export function field(label, input, hint) {
  return h("label", {class: "field"}, h("span", {}, label), input, hint && h("small", {}, hint));
}

export function choice(name, options, value) {
  return h("select", {name}, options.map(([key, label]) => h("option", {value: key, selected: key === value}, label)));
}
