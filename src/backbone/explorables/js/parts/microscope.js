/** Every map of a network while the reader draws, and its shortcuts to cut. */
import { paint, rangeOf } from "./colour.js";
import { choice, row, select } from "./controls.js";
import { cutSwitches } from "./cuts.js";
import { fill, h } from "./dom.js";
import { speaker } from "./figure.js";
import { mapGrid } from "./maps.js";
import { drawOverlay, maskOf, overlap, shareOf } from "./masks.js";
import { engineOf } from "./network.js";
import { modelPicture } from "./picture.js";
import { latest } from "./slow.js";

const BARS = 10; // classes shown
const MAPS = 64; // maps shown of a layer

/**
 * Show it.
 *
 * @param close  see closeup.js; without it maps cannot be picked
 */
export function microscope({ model, t: { language }, figure }, close) {
  const t = speaker(model.get("words"), language);
  const named = (texts) => texts[language];
  const [depth, cuts, layers] = [model.get("channels"), model.get("cuts"), model.get("layers")];
  const classes = model.get("classes").map(named);
  const read = classes.length ? reader(classes) : maskReader(model.get("size"), t);
  const detail = close?.(t);
  const layer = () => layers.find(({ name }) => name === model.get("layer"));
  let [network, pixels, channel, guess] = [null, null, 0, null];
  let shown = null; // two runs, { now, whole }, and which cuts are between them

  // --- what the reader can do -----------------------------------------------------------------
  const input = modelPicture({
    model, t, figure, names: model.get("names").map(named), bytes: model.get("samples"),
    onPicture(next) {
      pixels = next;
      if (!network) return;
      if (guess !== null) {
        guess = null;
        guesses.set(null);
        fill(verdict);
        tried.forEach((element) => fill(element));
      }
      refresh();
    },
  });
  const board = cutSwitches({
    model, names: cuts, labels: cuts,
    words: { label: t("skips"), whole: t("whole"), none: t("none") },
    onChange: () => refresh(),
  });
  const guesses = choice({
    label: t("guess", { n: cuts.length }), options: [...cuts, ""].map((_, n) => [n, n]),
    onChange(n) {
      guess = n;
      measure();
    },
  });
  const pick = (name) => {
    channel = 0;
    model.set("layer", name);
    model.save_changes();
  };
  const stages = layers.filter(({ stage }) => stage).map(({ name, op }) => {
    const canvas = h("canvas", { class: "x-map" });
    const element = h("button", { type: "button", class: "x-map-button", onclick: () => pick(name) },
      canvas, h("small", {}, name.replace("_layer", " ")));
    return { name, op, canvas, element };
  });
  const menu = select({ label: t("layer"), options: layers.map(({ name, label }) => [name, label]), onChange: pick });

  // --- what the reader sees -------------------------------------------------------------------
  const head = (key) => h("p", { class: "x-head" }, t(key));
  const verdict = h("p", { class: "x-note x-verdict", role: "status", dataset: { value: "verdict" } });
  const tried = cuts.map((name) => h("small", { dataset: { tried: name } }));
  const score = h("output", { class: "x-score", dataset: { value: "top" } }, "–");
  const about = h("p", { class: "x-note" }, t("waiting"));
  const formula = h("span", { class: "x-note" });
  const grid = mapGrid({
    label: t("grid"), name: (c) => t("map", { c }),
    onPick: detail && ((c) => {
      channel = c;
      draw();
    }),
  });
  const columns = Math.ceil(stages.length / Math.ceil(stages.length / 7));
  const skipping = cuts.length > 0;
  figure.add(...[
    skipping && h("div", { class: "x-guess" }, guesses.element, verdict),
    h("div", { class: "x-scope" },
      h("div", {}, head("input"), input.element),
      h("div", {}, head("stages"),
        h("div", { class: "x-stages", style: `--columns: ${columns}` }, stages.map(({ element }) => element)),
        skipping && [board.all, h("div", { class: "x-cuts", style: `--columns: ${cuts.some((name) => name.length > 9) ? 3 : 4}` },
          board.switches.map((element, i) => h("div", {}, element, tried[i])))],
        head("answer"), h("div", { class: "x-says" }, read.element, h("div", {}, score, read.note, about)))),
    row(menu, formula), grid.element, detail,
  ].filter(Boolean));

  // --- running the network --------------------------------------------------------------------
  const run = (cut, keep = []) => {
    const image = Float32Array.from({ length: depth * pixels.length }, (_, i) => pixels[i % pixels.length]);
    return network.run(image, { cut, keep });
  };
  const refresh = latest(async () => {
    if (!network) return;
    figure.root.ariaBusy = true;
    const [picture, gone, here] = [pixels, model.get("cut"), layer()];
    const keep = [...stages.map(({ op }) => op), ...(detail?.reads(network, here.op) ?? [here.op])];
    let whole = shown?.whole;
    if (whole?.picture !== picture || whole.here !== here) whole = { ...(await run([], keep)), picture, here };
    shown = { whole, now: gone.length ? await run(gone, keep) : whole, gone };
    const said = read.show(shown);
    fill(score, said);
    figure.say(t("says", { name: said }));
    about.textContent = t("about");
    if (classes.length) {
      model.set("probabilities", softmax(shown.now.output.data));
      model.save_changes();
    }
    draw();
    figure.root.ariaBusy = false;
    figure.ready();
  });

  /** Every cut alone, to judge the guess. */
  async function measure() {
    const [picture, outputs] = [pixels, []];
    for (const cut of [[], ...cuts.map((name) => [name])]) outputs.push((await run(cut)).output);
    if (picture !== pixels) return;
    const [whole, ...without] = outputs;
    const judged = without.map((output) => read.compare(output, whole));
    judged.forEach(({ text, same }, i) => {
      tried[i].textContent = text;
      tried[i].className = same ? "" : "x-lost";
    });
    const n = judged.filter(({ same }) => same).length;
    verdict.textContent = t("verdict", { guess, n, all: cuts.length });
  }

  /** Maps, on the scale of the uncut network: so what a cut takes away is seen to be missing. */
  function draw() {
    const { now: { maps: now }, whole: { maps: whole, here }, gone } = shown;
    for (const { name, op, canvas, element } of stages) {
      const [, height, width] = now[op].shape;
      const area = height * width;
      const from = area * strongest(whole[op], area);
      const part = ({ data }) => data.subarray(from, from + area);
      paint(canvas, part(now[op]), height, width, rangeOf(part(whole[op])));
      element.setAttribute("aria-pressed", name === here.name);
    }
    const [c, h, w] = here.shape;
    channel = Math.min(channel, c - 1);
    formula.textContent = `${t("shape", { c, h, w })} = ${here.formula}`;
    grid.element.style = `--map-size: ${c > 32 ? 3 : 4.5}rem`;
    grid.show(now[here.op], { chosen: channel, limit: MAPS, ...rangeOf(whole[here.op].data.subarray(0, MAPS * h * w)) });
    const nameOf = (op) => layers.find((entry) => entry.op === op)?.name ?? network.operation(op)?.module ?? t("input");
    detail?.show({ network, layer: here, channel, now, whole, gone, nameOf });
  }

  const showLayer = () => {
    menu.set(model.get("layer"));
    refresh();
  };
  model.on("change:layer", showLayer);
  board.show();
  showLayer();
  engineOf(model).then(
    (engine) => {
      network = engine;
      refresh();
    },
    (error) => figure.problem(error.message),
  );
  return () => {
    model.off("change:layer", showLayer);
    board.close();
    input.close();
    network?.close();
  };
}

// A reader says what an output means: `show(shown)` draws it and gives it in a word, `compare` says
// what became of it without one skip.

function reader(classes) {
  const element = h("div", { class: "x-bars" });
  const best = ({ data }) => data.indexOf(Math.max(...data));
  return {
    element,
    show({ now: { output } }) {
      const shares = softmax(output.data);
      const order = [...shares.keys()];
      if (order.length > BARS) order.sort((a, b) => shares[b] - shares[a]).splice(BARS);
      fill(element, order.map((i) =>
        h("div", { class: i === best(output) ? "x-bar x-best" : "x-bar" }, h("span", {}, classes[i]),
          h("i", { style: `width: ${50 * shares[i]}%` }),
          h("b", { dataset: { probability: i } }, `${(100 * shares[i]).toFixed(1)} %`))));
      return classes[best(output)];
    },
    compare: (output, whole) => ({ text: classes[best(output)], same: best(output) === best(whole) }),
  };
}

function maskReader(size, t) {
  const element = h("canvas", { class: "x-map", role: "img", "aria-label": t("answer") });
  const note = h("p", { dataset: { value: "iou" } });
  const kept = (output, whole) => overlap(maskOf(output), maskOf(whole));
  return {
    element, note,
    show({ now, whole }) {
      const mask = maskOf(now.output);
      drawOverlay(element, whole.picture, mask, null, size);
      note.textContent = t("kept", { iou: kept(now.output, whole.output).toFixed(2) });
      return shareOf(mask);
    },
    compare: (output, whole) => ({ text: kept(output, whole).toFixed(2), same: kept(output, whole) >= 0.5 }),
  };
}

function softmax(data) {
  const most = Math.max(...data);
  const powers = Array.from(data, (v) => Math.exp(v - most));
  const all = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / all);
}

/** The channel with the largest numbers. */
function strongest({ data, shape: [channels] }, area) {
  const strength = new Float64Array(channels);
  data.forEach((v, i) => (strength[Math.floor(i / area)] += Math.abs(v)));
  return strength.indexOf(Math.max(...strength));
}
