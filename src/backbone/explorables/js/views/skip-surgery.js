/** A trained U-Net whose four skips the reader can cut, on real nuclei. */
import { choice, row, toggle } from "../parts/controls.js";
import { paint, rangeOf } from "../parts/colour.js";
import { fill, h } from "../parts/dom.js";
import { engineOf } from "../parts/network.js";
import { pictureInput } from "../parts/picture.js";
import { latest } from "../parts/slow.js";

const MAPS = 3; // channels shown of each stage

export const skipSurgery = {
  name: "skip-surgery",
  words: {
    en: {
      title: "Skip surgery: a trained U-Net, running in this page",
      hint: "Try: cut skip 1 alone, then skip 4 alone. Then paint a new nucleus onto the picture and watch it travel.",
      input: "What it sees", output: "What it says",
      tile: "tile {n}", at_once: "Set",
      guess: "Before you cut: without which skip will it do worst?",
      skip: "skip {n}", whole: "all skips", none: "no skips",
      iou: "IoU with the truth", same: "IoU with the uncut network’s mask", share: "called nucleus",
      legend: "Green: what the network calls nucleus. White line: the truth, drawn by hand.",
      legend_free: "Green: what the network calls nucleus. No truth is known for this picture.",
      encoder: "Encoder", decoder: "Decoder", bottom: "bottom",
      level: "{size}×{size}, {c} channels",
      maps: "{side}, level {n}: {k} of {c} maps of {size}×{size}",
      tried: "One cut at a time, on this picture:",
      waiting: "Loading the network …",
      result: "{cuts}: IoU {iou}.", result_free: "{cuts}: {share} of the pixels called nucleus.",
      cut: "without skip {list}",
      right: "You said skip {n}, and so it is.",
      wrong: "You said skip {n}; here it is skip {worst}.",
      more: "Cut each of the four alone to check your guess: {left} to go.",
    },
    zh: {
      title: "跳跃连接手术：一个训练好的 U-Net，就在本页运行",
      hint: "试一试：先只切断跳跃连接 1，再只切断跳跃连接 4。然后在图上画一个新的细胞核，看它如何穿过网络。",
      input: "网络看到的", output: "网络的回答",
      tile: "图块 {n}", at_once: "一次设定",
      guess: "动手之前先猜：缺了哪一条跳跃连接，结果最差？",
      skip: "跳跃 {n}", whole: "全部保留", none: "全部切断",
      iou: "与真值的 IoU", same: "与未切断时预测的 IoU", share: "判为细胞核",
      legend: "绿色：网络判为细胞核的像素。白线：人工标注的真值。",
      legend_free: "绿色：网络判为细胞核的像素。这张图没有真值。",
      encoder: "编码器", decoder: "解码器", bottom: "底部",
      level: "{size}×{size}，{c} 个通道",
      maps: "{side}第 {n} 层：{c} 张 {size}×{size} 特征图中的 {k} 张",
      tried: "在这张图上，每次只切断一条：",
      waiting: "正在载入网络……",
      result: "{cuts}：IoU {iou}。", result_free: "{cuts}：{share} 的像素判为细胞核。",
      cut: "切断跳跃连接 {list}",
      right: "你猜的是跳跃 {n}，猜对了。",
      wrong: "你猜的是跳跃 {n}，而在这里是跳跃 {worst}。",
      more: "请把四条各单独切断一次来验证：还差 {left} 条。",
    },
  },

  render({ model, t, figure }) {
    const size = model.get("size");
    const area = size * size;
    const bytes = (view, i, length) => new Uint8Array(view.buffer, view.byteOffset + i * length, length);
    const count = model.get("tiles").byteLength / area;
    const samples = Array.from({ length: count }, (_, i) => ({
      name: t("tile", { n: i + 1 }), data: bytes(model.get("tiles"), i, area),
    }));
    const truths = samples.map((_, i) => bits(bytes(model.get("truths"), i, area / 8)));
    const skips = model.get("skips"); // [{ name, encoder, decoder, channels }], top level first
    let truth = truths[model.get("sample")];
    let network = null;
    let known = {}; // IoU on this picture by which skips are cut

    // --- what the reader can do ---------------------------------------------------------------
    const input = pictureInput({
      language: t.language, samples, size, start: model.get("sample"),
      onPicture(pixels, { kind, index }) {
        truth = kind === "sample" ? truths[index] : null;
        if (kind === "sample") model.set("sample", index);
        const grey = kind === "sample" ? [] : pixels.map((v) => Math.round(255 * v));
        model.set("picture", new DataView(Uint8Array.from(grey).buffer));
        model.save_changes();
        known = {};
        refresh();
      },
      onMessage(text, isProblem) {
        figure.problem(isProblem ? text : "");
        if (!isProblem && text) figure.say(text);
      },
    });
    const switches = skips.map((_, i) =>
      toggle({ label: t("skip", { n: i + 1 }), value: true, skip: true, onChange: () => cut(chosen()) }));
    const chosen = () => skips.filter((_, i) => !switches[i].value).map(({ name }) => name);
    const cut = (names) => {
      model.set("cut", names);
      model.save_changes();
    };
    const all = choice({
      label: t("at_once"), value: "whole", options: [["whole", t("whole")], ["none", t("none")]],
      onChange: (key) => cut(key === "whole" ? [] : skips.map(({ name }) => name)),
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
        wire: h("div", { class: "x-wire" }, switches[i].element,
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
      const cuts = model.get("cut");
      if (cuts.length && (!bottom.channels || !(truth || known[""]))) await look([]);
      await look(cuts);
      figure.ready();
    });

    async function look(cuts) {
      const keep = [...levels.flatMap(({ encoder, decoder }) => [encoder, decoder]), bottomName];
      const { output, maps } = await network.run(input.pixels, { keep, cut: cuts });
      const mask = Uint8Array.from({ length: area }, (_, i) => output.data[area + i] > output.data[i]);
      known[cuts.join()] = { mask };
      drawOverlay(overlay, input.pixels, mask, truth, size);
      const whole = cuts.length === 0;
      for (const { encoder, decoder, left, right } of levels) {
        drawStrip(left, maps[encoder], whole);
        drawStrip(right, maps[decoder], whole);
      }
      drawStrip(bottom, maps[bottomName], whole);

      const iou = overlap(mask, truth ?? known[""].mask);
      known[cuts.join()].iou = iou;
      const share = `${((100 * mask.reduce((a, b) => a + b, 0)) / area).toFixed(1)} %`;
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

    const showCuts = () => {
      const names = model.get("cut");
      skips.forEach(({ name }, i) => switches[i].set(!names.includes(name)));
      levels.forEach(({ wire, name }) => wire.classList.toggle("x-cut", names.includes(name)));
      all.set(names.length === 0 ? "whole" : names.length === skips.length ? "none" : null);
      refresh();
    };
    const showSample = () => {
      const index = model.get("sample");
      if (truth === truths[index]) return; // it came from here
      input.choose(index);
      truth = truths[index];
      known = {};
      refresh();
    };
    model.on("change:cut", showCuts);
    model.on("change:sample", showSample);
    showCuts();
    engineOf(model).then(
      (engine) => {
        network = engine;
        refresh();
      },
      (error) => figure.problem(error.message),
    );
    return () => {
      model.off("change:cut", showCuts);
      model.off("change:sample", showSample);
      network?.close();
    };
  },
};

/** The picture in grey, the mask over it in green, the outline of the truth in white. */
function drawOverlay(canvas, pixels, mask, truth, size) {
  paint(canvas, pixels, size, size, { map: "grey", low: 0, high: 1 });
  const context = canvas.getContext("2d");
  const image = context.getImageData(0, 0, size, size);
  const edge = (i) =>
    truth[i] && [i - 1, i + 1, i - size, i + size].some((j) => j < 0 || j >= truth.length || !truth[j]);
  for (let i = 0; i < mask.length; i++) {
    const colour = truth && edge(i) ? [255, 255, 255, 1] : mask[i] ? [15, 157, 138, 0.65] : null;
    if (!colour) continue;
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] += colour[3] * (colour[c] - image.data[4 * i + c]);
    }
  }
  context.putImageData(image, 0, 0);
}

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

/** Intersection over union of two masks; 1 if both are empty. */
function overlap(a, b) {
  let [both, either] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    both += a[i] && b[i];
    either += a[i] || b[i];
  }
  return either ? both / either : 1;
}
