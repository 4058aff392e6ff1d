"use strict";
// Small helpers: elements, numbers, colours. Text always enters by textContent, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];
// Set in the style sheet, for light and dark.
const SERIES = [0, 1, 2, 3, 4, 5].map((number) => `var(--series-${number})`);
const OTHERS = "var(--others)";

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  return fill(node, attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  return fill(node, attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function label(x, y, text, attributes = {}) {
  return draw("text", { x, y, ...attributes }, String(text));
}

function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mixed = VIRIDIS[low].map((value, i) => Math.round(value + (VIRIDIS[low + 1][i] - value) * (place - low)));
  return `rgb(${mixed.join(",")})`;
}

// Black or white, whichever reads better on that colour.
function inkOn(share) {
  return share > 0.6 ? "#000000" : "#ffffff";
}

// A colour for each run; when there are more runs than colours the best have them and the others share one.
function colours(runs) {
  const order = runs.map((_, index) => index);
  if (runs.length > SERIES.length) order.sort((a, b) => (runs[b].rsum || 0) - (runs[a].rsum || 0));
  const found = [];
  order.forEach((index, place) => { found[index] = place < SERIES.length ? SERIES[place] : OTHERS; });
  return found;
}

function linear([low, high], [start, stop]) {
  const span = high - low || 1;
  return (value) => start + ((value - low) / span) * (stop - start);
}

// Round numbers between low and high, about `count` of them.
function ticks(low, high, count) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= count) || span;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

function short(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3)));
}

// With a real minus sign.
function signed(value, digits = 2) {
  return (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");
}

// One stop for the tab key; the arrow keys go on from there.
function roving(nodes, moved = () => {}) {
  nodes.forEach((node, place) => {
    node.setAttribute("tabindex", place ? -1 : 0);
    node.addEventListener("focus", () => {
      nodes.forEach((other) => other.setAttribute("tabindex", other === node ? 0 : -1));
    });
    node.addEventListener("keydown", (event) => {
      const targets = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: nodes.length - 1 };
      const next = nodes[targets[event.key]];
      if (!next) return;
      event.preventDefault();
      next.focus();
      moved(next);
    });
  });
}

// Says something below a chart, to eyes and to screen readers.
function noteBelow(parent) {
  const note = make("p", { class: "note", "aria-live": "polite" });
  parent.append(note);
  return (text) => { note.textContent = text; };
}

// The same answer to pointer, finger and keyboard.
function answer(node, on, off) {
  node.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") on(); });
  node.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") off(); });
  node.addEventListener("focus", on);
  node.addEventListener("blur", off);
}
