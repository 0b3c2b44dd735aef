/** A trained U-Net whose four skips the reader can cut, on real nuclei. */
import { choice, row } from "../parts/controls.js";
import { paint, rangeOf } from "../parts/colour.js";
import { cutSwitches } from "../parts/cuts.js";
import { fill, h } from "../parts/dom.js";
import { speaker } from "../parts/figure.js";
import { drawOverlay, maskOf, overlap, shareOf } from "../parts/masks.js";
import { engineOf } from "../parts/network.js";
import { bytesOf, modelPicture } from "../parts/picture.js";
import { latest } from "../parts/slow.js";

const MAPS = 3; // channels shown of each stage

export const skipSurgery = {
  name: "skip-surgery",
  words: {
    en: {
      title: "Skip surgery: a trained U-Net, running in this page",
      hint: "Try: cut skip 1 alone, then skip 4 alone. Then paint a new nucleus onto the picture and watch it travel.",
    },
    zh: {
      title: "跳跃连接手术：一个训练好的 U-Net，就在本页运行",
      hint: "试一试：先只切断跳跃连接 1，再只切断跳跃连接 4。然后在图上画一个新的细胞核，看它如何穿过网络。",
    },
  },

  render({ model, t: { language }, figure }) {
    const t = speaker(model.get("words"), language);
    const size = model.get("size");
    const area = size * size;
    const tiles = model.get("tiles");
    const names = Array.from({ length: tiles.byteLength / area }, (_, i) => t("tile", { n: i + 1 }));
    const truths = names.map((_, i) => bits(bytesOf(model.get("truths")).subarray((i * area) / 8, ((i + 1) * area) / 8)));
    const skips = model.get("skips"); // [{ name, encoder, decoder, channels }], top level first
    let network = null;
    let [pixels, truth, known] = [null, null, {}]; // known: IoU on this picture by which skips are cut

    // --- what the reader can do ---------------------------------------------------------------
    const input = modelPicture({
      model, t, figure, names, bytes: tiles,
      onPicture(next, index) {
        [pixels, truth, known] = [next, truths[index] ?? null, {}];
        if (network) refresh();
      },
    });
    const { switches, all, show, close } = cutSwitches({
      model, names: skips.map(({ name }) => name), labels: skips.map((_, i) => t("skip", { n: i + 1 })),
      words: { label: t("at_once"), whole: t("whole"), none: t("none") },
      onChange(gone) {
        levels.forEach(({ wire, name }) => wire.classList.toggle("x-cut", gone.includes(name)));
        refresh();
      },
    });
    let guess = null;
    const guesses = choice({
      label: t("guess"), options: skips.map((_, i) => [i, String(i + 1)]),
      onChange(key) {
        guess = key;
        verdict();
      },
    });

    // --- what the reader sees -----------------------------------------------------------------
    const overlay = h("canvas", { class: "x-map", role: "img", width: size, height: size });
    const score = h("output", { class: "x-score", dataset: { value: "score" } }, "–");
    const scoreLabel = h("span", {});
    const legend = h("p", { class: "x-note" });
    const tried = h("div", { class: "x-tried", dataset: { value: "tried" } });
    const judged = h("p", { class: "x-note", role: "status", dataset: { value: "verdict" } });
    const strip = (side, n, channels, pixels) => {
      const k = Math.min(MAPS, channels);
      const label = t("maps", { side, n, k, c: channels, size: pixels });
      const canvases = Array.from({ length: k }, () => h("canvas", { class: "x-map" }));
      const range = h("small", {});
      const element = h("div", { class: "x-stage" },
        h("div", { class: "x-strip", role: "img", "aria-label": label }, canvases), range);
      return { canvases, range, element, channels: null };
    };
    const levels = skips.map((skip, i) => {
      const pixels = size >> i;
      return {
        ...skip,
        left: strip(t("encoder"), i + 1, skip.channels, pixels),
        right: strip(t("decoder"), i + 1, skip.channels, pixels),
        wire: h("div", { class: "x-wire" }, switches[i],
          h("span", { class: "x-note" }, t("level", { size: pixels, c: skip.channels }))),
      };
    });
    const { name: bottomName, channels: bottomChannels } = model.get("bottom");
    const bottom = strip(t("bottom"), skips.length + 1, bottomChannels, size >> skips.length);
    figure.add(
      guesses.element,
      h("div", { class: "x-theatre" },
        h("div", {}, h("p", { class: "x-head" }, t("input")), input.element),
        h("div", { class: "x-u" },
          h("div", { class: "x-level x-head" }, h("span", {}, t("encoder")), h("span", {}), h("span", {}, t("decoder"))),
          levels.map(({ left, wire, right }, i) =>
            h("div", { class: "x-level", style: `--depth: ${i}` }, left.element, wire, right.element)),
          h("div", { class: "x-level x-bottom" }, bottom.element),
          row(all)),
        h("div", {}, h("p", { class: "x-head" }, t("output")), overlay,
          h("p", { class: "x-result" }, score, h("span", { class: "x-note" }, scoreLabel)), legend, tried, judged)),
    );
    legend.textContent = t("waiting");

    // --- running the network ------------------------------------------------------------------
    const refresh = latest(async () => {
      if (!network) return;
      const [cuts, now] = [model.get("cut"), { pixels, truth, known }];
      if (cuts.length && (!bottom.channels || !(truth || known[""]))) await look([], now);
      await look(cuts, now);
      figure.ready();
    });

    /** Run and show; the picture may change meanwhile, so it comes with what is known of it. */
    async function look(cuts, { pixels, truth, known }) {
      const keep = [...levels.flatMap(({ encoder, decoder }) => [encoder, decoder]), bottomName];
      const { output, maps } = await network.run(pixels, { keep, cut: cuts });
      const mask = maskOf(output);
      known[cuts.join()] = { mask };
      drawOverlay(overlay, pixels, mask, truth, size);
      const whole = cuts.length === 0;
      for (const { encoder, decoder, left, right } of levels) {
        drawStrip(left, maps[encoder], whole);
        drawStrip(right, maps[decoder], whole);
      }
      drawStrip(bottom, maps[bottomName], whole);

      const iou = overlap(mask, truth ?? known[""].mask);
      known[cuts.join()].iou = iou;
      const share = shareOf(mask);
      score.textContent = iou.toFixed(2);
      scoreLabel.textContent = `${t(truth ? "iou" : "same")} · ${share} ${t("share")}`;
      legend.textContent = t(truth ? "legend" : "legend_free");
      const list = cuts.map((name) => skips.findIndex((skip) => skip.name === name) + 1).sort().join(", ");
      const what = whole ? t("whole") : cuts.length === skips.length ? t("none") : t("cut", { list });
      figure.say(t(truth ? "result" : "result_free", { cuts: what, iou: iou.toFixed(2), share }));
      overlay.setAttribute("aria-label", `${t("output")}: ${t(truth ? "result" : "result_free", { cuts: what, iou: iou.toFixed(2), share })}`);
      model.set("iou", truth ? iou : null);
      model.save_changes();

      const seen = skips.map(({ name }, i) => [i, known[name]?.iou]).filter(([, value]) => value !== undefined);
      fill(tried, seen.length > 0 && h("p", { class: "x-note" }, t("tried")),
        seen.map(([i, value]) => h("div", { class: "x-bar" }, h("span", {}, t("skip", { n: i + 1 })),
          h("i", { style: `width: ${(60 * value).toFixed(1)}%` }), h("b", { dataset: { cut: i + 1 } }, value.toFixed(2)))));
      verdict();
    }

    function verdict() {
      if (guess === null) return;
      const values = skips.map(({ name }) => known[name]?.iou);
      const left = values.filter((value) => value === undefined).length;
      const worst = values.indexOf(Math.min(...values)) + 1;
      judged.textContent = left
        ? t("more", { left })
        : t(worst === guess + 1 ? "right" : "wrong", { n: guess + 1, worst });
    }

    show();
    engineOf(model).then(
      (engine) => {
        network = engine;
        refresh();
      },
      (error) => figure.problem(error.message),
    );
    return () => {
      close();
      input.close();
      network?.close();
    };
  },
};

/**
 * Some channels of a stage. Which ones, and on which scale, the whole network decides: so what a cut
 * takes away is seen to be missing.
 */
function drawStrip(strip, { data, shape: [channels, height, width] }, whole) {
  const area = height * width;
  const part = (c) => data.subarray(c * area, (c + 1) * area);
  if (whole || !strip.channels) {
    const contrast = Array.from({ length: channels }, (_, c) => spread(part(c)));
    const order = contrast.map((_, c) => c).sort((a, b) => contrast[b] - contrast[a]);
    strip.channels = order.slice(0, strip.canvases.length).sort((a, b) => a - b);
    strip.high = Math.max(...strip.channels.map((c) => rangeOf(part(c)).high));
    strip.range.textContent = `0 … ${strip.high.toPrecision(2)}`;
  }
  strip.canvases.forEach((canvas, k) =>
    paint(canvas, part(strip.channels[k]), height, width, { map: "sequential", low: 0, high: strip.high }));
}

/** Variance of the numbers. */
function spread(values) {
  let [sum, squares] = [0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  return squares / values.length - (sum / values.length) ** 2;
}

/** Eight numbers 0 or 1 out of each byte. */
const bits = (bytes) => Uint8Array.from({ length: 8 * bytes.length }, (_, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);
