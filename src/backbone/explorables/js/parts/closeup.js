/** One map enlarged, and the arithmetic of one of its pixels. */
import { termsAt, wayTo } from "./arithmetic.js";
import { colourOf, paint, rangeOf } from "./colour.js";
import { fill, h } from "./dom.js";

const TERMS = 4; // input channels written out; of the others only the sum

/**
 * @param t  words, see microscope_words.py
 * @returns { element, reads(network, op), show(shot) }: `reads` names the values that the arithmetic
 *          of a map needs; a shot is { network, layer, channel, now, whole, gone, nameOf }
 */
export function closeUp(t) {
  let [shot, place, last] = [null, null, ""]; // place: [row, column]; last: whose place it is
  const canvas = h("canvas", { class: "x-map", tabindex: 0, role: "img" });
  const cursor = h("i", { class: "x-cursor" });
  const range = h("p", { class: "x-note" });
  const sum = h("div", { class: "x-lines" });

  function show(next) {
    shot = next;
    const { layer: { name, op, shape: [, height, width] }, channel, now, whole } = shot;
    const map = mapOf(now[op], channel);
    const most = mapOf(whole[op], channel);
    const scale = rangeOf(most);
    if (last !== (last = `${name} ${channel}`)) {
      const at = most.indexOf(Math.max(...most));
      place = [Math.floor(at / width), at % width];
    }
    const [y, x] = place;
    paint(canvas, map, height, width, scale);
    canvas.setAttribute("aria-label", t("pick", { c: channel }));
    cursor.style = `left: ${(100 * x) / width}%; top: ${(100 * y) / height}%; width: ${100 / width}%; height: ${100 / height}%`;
    const [low, high, from, to] = [Math.min(...map), Math.max(...map), scale.low, scale.high].map(short);
    range.textContent = t("range", { c: channel, low, high, from, to });
    fill(sum, arithmetic([channel, y, x]));
  }

  /** The sum behind one number, line by line. */
  function arithmetic(at) {
    const { network, layer: { name, op }, now, gone, nameOf } = shot;
    const line = (text, number, key) =>
      h("p", { class: `x-${key}` }, h("span", {}, text), h("output", { dataset: { value: key } }, long(number)));
    const { base, from, steps } = wayTo(network, op);
    const source = base && now[base.inputs[0]];
    const window = base && termsAt(base, source, at);
    let value = valueAt(now[from], at);
    const lines = [];
    if (window) {
      const { columns, terms } = window;
      const pool = base.attributes.kernel;
      const reach = Math.max(...terms.flatMap(({ kernel }) => kernel.map(Math.abs)));
      const bias = base.weights.bias?.data[at[0]] ?? 0;
      const seen = rangeOf(terms.slice(0, TERMS).flatMap(({ patch }) => patch));
      const giver = nameOf(base.inputs[0]);
      lines.push(
        h("p", { class: "x-note" }, pool ? giver : t("times", { name: giver })),
        terms.slice(0, TERMS).map(({ channel: c, patch, kernel, sum: product }) =>
          h("div", { class: "x-term" }, h("small", {}, t("map", { c })), cells(patch, columns, seen),
            !pool && ["×", cells(kernel, columns, { low: -reach, high: reach, signed: true }), "=",
              h("output", { dataset: { value: "term" } }, long(product))])),
        terms.length > TERMS && line(t("rest", { n: terms.length - TERMS }), total(terms.slice(TERMS)), "rest"),
        !pool && line(t(base.folded ? "folded" : "bias"), bias, "bias"));
      if (!pool) value = total(terms) + bias;
      lines.push(line(t(pool ? base.op : "sum"), value, "sum"));
    } else if (base) lines.push(line(t("from", { op: base.op, name: nameOf(base.inputs[0]) }), value, "sum"));
    for (const { op: step, other } of steps) {
      if (other) {
        const isCut = gone.some((name) => network.program.cuts[name].some(([end]) => end === step.name));
        const skipped = isCut ? 0 : valueAt(now[other], at);
        value += skipped;
        lines.push(line(`+ ${nameOf(other)}${isCut ? ` (${t("cut")})` : ""}`, skipped, "shortcut"));
        continue;
      }
      const { attributes, weights } = step;
      const slope = attributes.slope ?? weights.weight?.data[at[0] % weights.weight.data.length] ?? 0;
      const text = t(slope ? "prelu" : "relu", { v: long(value), slope: short(slope) });
      value *= value < 0 ? slope : 1;
      lines.push(line(text, value, "bend"));
    }
    const [c, y, x] = at;
    return [...lines, line(t("result", { name, c, y, x }), valueAt(now[op], at), "pixel")];
  }

  const move = (y, x) => {
    const [, height, width] = shot.layer.shape;
    const within = (v, side) => Math.max(0, Math.min(side - 1, Math.floor(v)));
    place = [within(y, height), within(x, width)];
    show(shot);
  };
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || !shot) return;
    event.preventDefault();
    move(place[0] + step[0], place[1] + step[1]);
  });
  canvas.addEventListener("pointerdown", (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const [, rows, columns] = shot.layer.shape;
    move(((event.clientY - top) / height) * rows, ((event.clientX - left) / width) * columns);
  });
  const element = h("div", { class: "x-close" },
    h("div", {}, h("div", { class: "x-large" }, canvas, cursor), range), sum);
  return { element, show, reads: (network, op) => wayTo(network, op).reads };
}

const long = (v) => v.toFixed(4);
const short = (v) => String(Number(v.toPrecision(2)));
const total = (terms) => terms.reduce((all, { sum }) => all + sum, 0);
const mapOf = ({ data, shape: [, height, width] }, c) => data.subarray(c * height * width, (c + 1) * height * width);
const valueAt = ({ data, shape: [, height, width] }, [c, y, x]) => data[(c * height + y) * width + x];

/** Numbers in coloured squares; of a large window one sees only the colours. */
function cells(values, columns, { low, high, signed }) {
  return h("span", { class: columns > 3 ? "x-cells x-fine" : "x-cells", style: `--columns: ${columns}` },
    values.map((v) => {
      if (v === null) return h("i", {}, "·");
      const colour = colourOf(signed ? "diverging" : "sequential", (v - low) / (high - low || 1));
      const [red, green, blue] = colour.map((part) => (part / 255) ** 2.2);
      const dark = 0.21 * red + 0.72 * green + 0.07 * blue < 0.18; // white has more contrast
      return h("i", { style: `background: rgb(${colour}); color: ${dark ? "#fff" : "#000"}` }, v.toFixed(2));
    }));
}
