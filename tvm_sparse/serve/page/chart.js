// Answers a second over fidelity, a point for each model, as the report of a study has it.

import { make } from "./elements.js";

const HEIGHT = 340;
const [NARROWEST, WIDEST] = [300, 900];
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 20, 16, 46];
const NAMESPACE = "http://www.w3.org/2000/svg";
const SYMBOLS = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0",
  "M-4.5-4.5h9v9h-9z",
  "M0-6l6 6-6 6-6-6z",
  "M0-6l6 10h-12z",
  "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
  "M0 6l6-10h-12z",
];

const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// Round steps, about as many as asked for.
const ticks = (low, high, count) => {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) {
    found.push(Number((n * step).toPrecision(12)));
  }
  return found;
};

// Those that no other one beats in both.
export const front = (points) => {
  const found = [];
  for (const one of points.toSorted((a, b) => b.x - a.x || b.y - a.y)) {
    if (!found.length || one.y > found.at(-1).y) found.push(one);
  }
  return found;
};

export const drawChart = (place, points, { x: titleX, y: titleY }) => {
  // As wide as its place, so that letters keep their size on a phone.
  const width = Math.min(WIDEST, Math.max(NARROWEST, place.clientWidth));
  const span = Math.max(...points.map(({ x }) => x)) - Math.min(...points.map(({ x }) => x));
  const low = Math.min(...points.map(({ x }) => x)) - (span * 0.08 || 0.01);
  const high = Math.max(...points.map(({ x }) => x)) + (span * 0.08 || 0.01);
  const top = Math.max(...points.map(({ y }) => y)) * 1.12;
  const atX = (x) => LEFT + ((x - low) / (high - low)) * (width - LEFT - RIGHT);
  const atY = (y) => HEIGHT - BOTTOM - (y / top) * (HEIGHT - TOP - BOTTOM);
  const groups = [...new Set(points.map(({ group }) => group))].sort();
  const colour = (group) =>
    group === "dense" ? "var(--dense)" : `var(--series-${groups.indexOf(group) % SYMBOLS.length})`;
  const symbol = (group, x, y) =>
    draw("path", {
      class: "point",
      d: SYMBOLS[groups.indexOf(group) % SYMBOLS.length],
      transform: `translate(${x} ${y})`,
      fill: colour(group),
    });

  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
  svg.setAttribute("aria-label", `${titleY} over ${titleX}`);
  for (const value of ticks(low, high, 5)) {
    const x = atX(value);
    svg.append(draw("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    const label = { class: "soft", x, y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" };
    svg.append(draw("text", label, String(value)));
  }
  for (const value of ticks(0, top, 5)) {
    const y = atY(value);
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
    const label = { class: "soft", x: LEFT - 8, y: y + 4, "text-anchor": "end" };
    svg.append(draw("text", label, value.toLocaleString("en")));
  }
  const middle = (LEFT + width - RIGHT) / 2;
  svg.append(draw("text", { x: middle, y: HEIGHT - 8, "text-anchor": "middle" }, titleX));
  const upright = { transform: `translate(14 ${HEIGHT / 2}) rotate(-90)`, "text-anchor": "middle" };
  svg.append(draw("text", upright, titleY));

  const unbeaten = front(points);
  const path = unbeaten.map(({ x, y }) => `${atX(x)},${atY(y)}`).join(" ");
  svg.append(draw("polyline", { class: "front", points: path }));
  for (const { x, y, name, group } of points) {
    const mark = symbol(group, atX(x), atY(y));
    mark.append(draw("title", {}, `${name} (${group}): ${x.toFixed(4)}, ${y.toFixed(1)}`));
    svg.append(mark);
  }
  const labelled = [];
  for (const { x, y, name } of unbeaten) {
    const [left, up] = [atX(x), atY(y)];
    if (labelled.some((one) => Math.abs(one[0] - left) < 90 && Math.abs(one[1] - up) < 14)) continue;
    labelled.push([left, up]);
    const end = left > width * 0.75;
    const label = { x: left + (end ? -9 : 9), y: up - 6, "text-anchor": end ? "end" : "start" };
    svg.append(draw("text", label, name));
  }
  const legend = make("p", { class: "soft legend" });
  for (const group of groups) {
    const sample = draw("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" });
    sample.append(symbol(group, 0, 0));
    legend.append(make("span", {}, sample, group === "dense" ? "dense" : `${group} blocks`));
  }
  place.replaceChildren(svg, legend);
};
