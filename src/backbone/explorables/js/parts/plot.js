/**
 * Curves over an x axis, as wide as there is room.
 *
 *     const { element, draw, close } = plot();
 *     draw({ label, x: { low: 0, high: 10, title }, y: { low, high, log, title }, lines });
 *
 * A line is { points: [[x, y], …], kind: "plain" or "skip", name, dashed, thin, band: [[x, low,
 * high], …], level: true for a dotted line across }. On a log axis what is below `low`, such as
 * 0, is drawn at the bottom.
 */
import { fill, svg } from "./dom.js";

const [HEIGHT, TOP, BOTTOM, LEFT, LETTER] = [250, 22, 36, 44, 8.5];

export function plot() {
  const element = svg("svg", { class: "x-plot", role: "img", height: HEIGHT });
  let latest = null;
  const draw = (what = latest) => {
    latest = what;
    if (what) paint(element, what, element.clientWidth || 600);
  };
  const observer = new ResizeObserver(() => draw());
  observer.observe(element);
  return { element, draw, close: () => observer.disconnect() };
}

function paint(element, { label, x, y, lines }, width) {
  const longest = Math.max(9, ...lines.map(({ name }) => name?.length ?? 0));
  const [right, bottom] = [width - 12 - LETTER * longest, HEIGHT - BOTTOM];
  const scale = y.log ? (v) => Math.log10(Math.max(v, y.low)) : (v) => v;
  const part = (v) => (scale(v) - scale(y.low)) / (scale(y.high) - scale(y.low));
  const across = (v) => LEFT + ((v - x.low) / (x.high - x.low)) * (right - LEFT);
  const up = (v) => bottom - Math.max(0, Math.min(1, part(v))) * (bottom - TOP);
  const at = ([a, b]) => `${across(a).toFixed(1)} ${up(b).toFixed(1)}`;
  const path = (points) => points.map((p, i) => (i ? "L" : "M") + at(p)).join("");
  const text = (px, py, anchor, words, more) =>
    svg("text", { x: px, y: py, "text-anchor": anchor, ...more }, words);

  const marks = [
    ...ticks(y).flatMap((v) => [
      svg("path", { class: "x-grid", d: path([[x.low, v], [x.high, v]]) }),
      text(LEFT - 6, up(v) + 4, "end", String(v)),
    ]),
    ...ticks(x).map((v) => text(across(v), bottom + 16, "middle", String(v))),
    text((LEFT + right) / 2, HEIGHT - 4, "middle", x.title),
    text(2, 12, "start", y.title),
  ];
  for (const { points, kind = "level", name, dashed, thin, band } of lines) {
    if (!points.length) continue;
    const upper = band?.map(([a, , high]) => [a, high]);
    const lower = band?.map(([a, low]) => [a, low]).reverse();
    marks.push(
      band && svg("path", { class: `x-band x-${kind}`, d: `${path([...upper, ...lower])}Z` }),
      svg("path", {
        class: `x-line x-${kind}${thin ? " x-thin" : ""}${dashed ? " x-dashed" : ""}`, d: path(points),
      }),
    );
  }
  element.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  element.setAttribute("aria-label", label);
  fill(element, marks, names(lines, across, up, text));
}

/** Names at the ends of the lines, moved apart where they would overlap. */
function names(lines, across, up, text) {
  const placed = lines
    .filter(({ name, points }) => name && points.length)
    .map(({ name, kind = "level", points }) => ({ name, kind, x: across(points.at(-1)[0]), y: up(points.at(-1)[1]) }))
    .sort((a, b) => a.y - b.y);
  for (let i = placed.length - 2; i >= 0; i--) placed[i].y = Math.min(placed[i].y, placed[i + 1].y - 14);
  return placed.map(({ name, kind, x, y }) => text(x + 6, y + 4, "start", name, { class: `x-name x-${kind}` }));
}

/** Round numbers along an axis; powers of ten on a log axis. */
function ticks({ low, high, log }) {
  const found = [];
  if (log) {
    for (let e = Math.ceil(Math.log10(low)); 10 ** e <= high * 1.0001; e++) found.push(Number(`1e${e}`));
    const every = Math.ceil(found.length / 6);
    return found.filter((_, i) => i % every === 0);
  }
  const rough = (high - low) / 5;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((m) => m * ten >= rough * 0.999);
  for (let v = Math.ceil(low / step); v * step <= high * 1.0001; v++) found.push(Number((v * step).toPrecision(6)));
  return found;
}
