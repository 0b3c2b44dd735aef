/**
 * Convolution arithmetic: which size comes out, what an output pixel sees, 572 → 388.
 *
 * Everything here is the same in both directions, so the arithmetic is that of one.
 */
import { choice, row, slider, toggle } from "../parts/controls.js";
import { fill, h, newId, svg } from "../parts/dom.js";

/** The side that comes out of a convolution; less than 1 if its window does not fit. */
export function sizeOut(n, { kernel, stride, padding, dilation = 1, up }) {
  const reach = dilation * (kernel - 1) + 1;
  return up ? (n - 1) * stride - 2 * padding + reach : Math.floor((n + 2 * padding - reach) / stride) + 1;
}

/** The indices of the input that output index i reads; below 0 and from n on is padding. */
export function reads(i, n, { kernel, stride, padding, dilation = 1, up }) {
  const taps = range(kernel).map((k) => k * dilation);
  if (!up) return taps.map((k) => i * stride - padding + k);
  return taps.map((k) => (i + padding - k) / stride).filter((j) => Number.isInteger(j) && j >= 0 && j < n).reverse();
}

/** Sizes after each step of a network; `odd`: where a pool met an odd side, it ends there. */
export function walk(steps, side) {
  const sizes = [];
  let n = side;
  for (const [, kind, kernel, stride, padding] of steps) {
    if (kind === "pool" && n % 2) return { sizes, odd: n };
    if (kind !== "join") n = sizeOut(n, { kernel, stride, padding, up: kind === "up" });
    if (n < 1) return { sizes, odd: 0 };
    sizes.push(n);
  }
  return { sizes, out: n };
}

/** What one value sees after 0, 1, 2 … equal layers: pixels, jump, values needed, first centre. */
export function stack(count, { kernel, stride, dilation }) {
  const step = dilation * (kernel - 1);
  const levels = [{ sees: 1, jump: 1, centre: 0 }];
  for (let i = 0; i < count; i++) {
    const { sees, jump, centre } = levels[i];
    levels.push({ sees: sees + step * jump, jump: jump * stride, centre: centre + (step * jump) / 2 });
  }
  let values = [0];
  for (let i = count; i >= 0; i--) {
    levels[i].values = values;
    values = [...new Set(values.flatMap((v) => range(kernel).map((k) => v * stride + k * dilation)))];
  }
  return levels;
}

const range = (n) => [...Array(Math.max(0, n)).keys()];
const NUMBERS = ["size", "kernel", "stride", "padding", "dilation", "layers"];
const SHOWN = { layer: NUMBERS.slice(0, 5), stack: ["kernel", "stride", "dilation", "layers"], unet: [] };

export const convArithmetic = {
  name: "conv-arithmetic",
  words: {
    en: {
      title: "Convolution arithmetic",
      hint: "Guess first. Then change one number at a time, and watch what follows.",
      pixels: "Choose an output pixel, with the mouse or the arrow keys, and watch what it reads. Make the stride larger than the kernel; or switch to transposed, kernel 3, stride 2.",
      show: "Show",
      layer: "one layer",
      stack: "a stack",
      unet: "572 → 388",
      size: "input",
      kernel: "kernel",
      stride: "stride",
      padding: "padding",
      dilation: "dilation",
      layers: "layers",
      transposed: "transposed",
      side: "side of the image",
      check: "Check",
      reveal: "Show me",
      "ask-layer": "Which side does the output have?",
      "ask-stack": "How many image pixels in a row does one last value see?",
      "ask-unet": "Which side comes out of the paper's U-Net?",
      yes: "Yes: {n}.",
      no: "Your guess was {g}. It is {n}.",
      input: "Input {n}×{n}",
      output: "Output {n}×{n}",
      arrows: "arrow keys choose a pixel",
      small: "A window of {w} does not fit into {n}: make the input or the padding larger.",
      negative: "The padding cuts away all of the output: make it smaller.",
      place: "Output pixel ({r}, {c}) reads {n} input pixels",
      pads: ", {p} more in the padding",
      left: "The stride does not fit. Left over at the right and lower edge: {n} ({p} of it padding).",
      unread: "{n} of {all} input pixels are read by no window (crossed out).",
      stamps: "Stamps on a pixel: {list}.",
      even: "Kernel and stride fit: away from the edge every pixel gets as many.",
      uneven: "The stamps overlap unevenly: a checkerboard.",
      gaps: "Some pixels get no stamp: gaps.",
      jump: "jump",
      sees: "sees",
      image: "image",
      stage: "stage",
      paper: "paper",
      padded: "padded",
      crop: "{n} off each edge",
      odd: "{s} does not fit the paper's network: a pool meets {n}, which is odd.",
      none: "{s} does not fit the paper's network: nothing is left.",
      fits: "Paper: {s} → {n}, {d} less. Padded: {s} → {s}.",
      multiple: "The padded network needs multiples of 16: mirror {s} out to {n}, cut the answer back to {s}.",
    },
    zh: {
      title: "卷积算术",
      hint: "先猜一猜。然后每次只改一个数，看结果怎样变化。",
      pixels: "用鼠标或方向键选一个输出像素，看它读了哪些输入。试试让步幅大于卷积核；或者切换到转置卷积，核 3，步幅 2。",
      layer: "一层",
      stack: "多层叠加",
      unet: "572 → 388",
      show: "显示",
      size: "输入",
      kernel: "卷积核",
      stride: "步幅",
      padding: "填充",
      dilation: "空洞率",
      layers: "层数",
      transposed: "转置卷积",
      side: "图像边长",
      check: "检查",
      reveal: "直接看",
      "ask-layer": "输出的边长是多少？",
      "ask-stack": "最后一层的一个值，在一个方向上能看到多少个图像像素？",
      "ask-unet": "论文的 U-Net 输出的边长是多少？",
      yes: "对，是 {n}。",
      no: "你猜的是 {g}，答案是 {n}。",
      input: "输入 {n}×{n}",
      output: "输出 {n}×{n}",
      arrows: "用方向键选择像素",
      small: "{w} 宽的窗口放不进 {n}：请加大输入或填充。",
      negative: "填充把输出全部裁掉了：请减小填充。",
      place: "输出像素 ({r}, {c}) 读入 {n} 个输入像素",
      pads: "，另有 {p} 个在填充里",
      left: "步幅不能整除：右边剩下 {n} 列，下边剩下 {n} 行（其中 {p} 属于填充）。",
      unread: "{all} 个输入像素中有 {n} 个没有任何窗口读到（打叉）。",
      stamps: "每个像素上的印章数：{list}。",
      even: "核与步幅相配：边缘以外，每个像素得到的一样多。",
      uneven: "印章重叠不均匀：出现棋盘格。",
      gaps: "有些像素一个印章也没有：出现空隙。",
      jump: "间距",
      sees: "看到",
      image: "图像",
      stage: "阶段",
      paper: "论文",
      padded: "带填充",
      crop: "每边裁去 {n}",
      odd: "{s} 不适合论文的网络：池化遇到奇数 {n}。",
      none: "{s} 不适合论文的网络：什么也剩不下。",
      fits: "论文：{s} → {n}，少 {d}。带填充：{s} → {s}。",
      multiple: "带填充的网络需要 16 的倍数：把 {s} 镜像扩展到 {n}，再把结果裁回 {s}。",
    },
  },

  render({ model, t, figure }) {
    const get = (key) => model.get(key);
    const set = (key, value) => {
      model.set(key, value);
      model.save_changes();
    };
    const line = (name, ...text) => h("p", { dataset: { value: name } }, text);
    const head = (...keys) => h("tr", {}, keys.map((key) => h("th", { scope: "col" }, t(key))));
    const controls = {
      tab: choice({ label: t("show"), value: get("tab"), onChange: (v) => set("tab", v),
        options: ["layer", "stack", "unet"].map((key) => [key, t(key)]) }),
      transposed: toggle({ label: t("transposed"), value: get("transposed"), onChange: (v) => set("transposed", v) }),
    };
    for (const key of NUMBERS) {
      const [min, max] = get("ranges")[key];
      controls[key] = slider({ label: t(key), min, max, value: get(key), onInput: (v) => set(key, v) });
    }
    const id = newId();
    const side = h("input", { id, type: "number", min: 1, max: get("ranges").side[1], value: get("side"),
      onchange: () => setSide(Number(side.value)) });
    const setSide = (n) => set("side", Math.round(Math.min(Math.max(n, 1), get("ranges").side[1])));
    const jumps = [-1, 1].map((by) => h("button", { type: "button", class: "x-button", onclick: () => setSide(near(by)) }));
    const sideRow = row(h("label", { for: id }, t("side")), side, jumps);

    const guess = h("input", { type: "number", "aria-label": t("ask-layer") });
    const asked = h("p", {});
    const form = h("form", { class: "x-row", onsubmit: (event) => {
      event.preventDefault();
      if (guess.value) guessed(Number(guess.value));
    } }, asked, guess, h("button", { class: "x-button x-primary" }, t("check")),
    h("button", { type: "button", class: "x-button", onclick: () => guessed(null) }, t("reveal")));
    const guessed = (g) => {
      set("guesses", { ...get("guesses"), [get("tab")]: g });
      const n = answer();
      figure.say(g === null ? "" : g === n ? t("yes", { n }) : t("no", { g, n }));
    };

    const op = () => ({ ...Object.fromEntries(NUMBERS.map((key) => [key, get(key)])), up: get("transposed") });
    const near = (by) => {
      let s = get("side") + by;
      while (s > 0 && s <= get("ranges").side[1] && !walk(get("networks").paper, s).out) s += by;
      return s;
    };
    const answer = () => ({
      layer: () => sizeOut(get("size"), op()),
      stack: () => stack(get("layers"), op()).at(-1).sees,
      unet: () => walk(get("networks").paper, get("side")).out,
    })[get("tab")]();

    const stage = h("div", { class: "x-arithmetic", tabindex: -1 });
    let pick = () => {};
    let silent = true;

    const layer = (open) => {
      const [n, o] = [get("size"), op()];
      const { kernel, stride, padding, dilation, up } = o;
      const reach = dilation * (kernel - 1) + 1;
      const out = sizeOut(n, o);
      if (out < 1) {
        figure.problem(up ? t("negative") : t("small", { w: reach, n: n + 2 * padding }));
        pick = () => {};
        return fill(stage);
      }
      const seen = range(out).map((i) => reads(i, n, o));
      const used = new Set(seen.flat().filter((i) => i >= 0 && i < n));
      const edge = up ? 0 : padding;
      const cell = Math.max(4, Math.min(24, Math.floor(270 / Math.max(n + 2 * edge, out))));
      const ins = grid(n + 2 * edge, cell, { role: "img" }, (r, c) => ({
        class: [r, c].some((i) => i < edge || i >= n + edge) ? "x-out" : "",
      }), (r, c) => !up && [r, c].every((i) => i >= edge && i < n + edge) && !(used.has(r - edge) && used.has(c - edge)) && "✕");
      const counts = seen.map((list) => list.length);
      const most = Math.max(...counts) ** 2;
      const outs = grid(out, cell, {
        role: "grid", tabindex: 0, "aria-label": `${t("output", { n: out })}, ${t("arrows")}`,
        onkeydown: (event) => {
          const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
          if (!by) return;
          event.preventDefault();
          const [r, c] = at();
          move(r + by[0], c + by[1]);
        },
        onpointerdown: ({ target: { dataset } }) => dataset.row && move(Number(dataset.row), Number(dataset.column)),
      }, (r, c) => ({
        role: "gridcell", id: `${id}-${r}-${c}`, "aria-label": `${r}, ${c}`, "data-row": r, "data-column": c,
        style: up ? `--share: ${Math.round((70 * counts[r] * counts[c]) / most)}%` : "",
      }), (r, c) => up && cell > 9 && counts[r] * counts[c]);
      const at = () => get("place").map((i) => Math.min(i, out - 1));
      const move = (r, c) => set("place", [r, c].map((i) => Math.min(Math.max(i, 0), out - 1)));
      pick = () => {
        const [r, c] = at();
        ins.cells.forEach((line, i) => line.forEach((rect, j) =>
          rect.classList.toggle("x-lit", seen[r].includes(i - edge) && seen[c].includes(j - edge))));
        outs.cells.forEach((line, i) => line.forEach((rect, j) => rect.setAttribute("aria-selected", i === r && j === c)));
        outs.element.setAttribute("aria-activedescendant", `${id}-${r}-${c}`);
        const inside = [r, c].map((i) => seen[i].filter((j) => j >= 0 && j < n).length);
        const [real, all] = [inside[0] * inside[1], seen[r].length * seen[c].length];
        const text = t("place", { r, c, n: real }) + (all > real ? t("pads", { p: all - real }) : "");
        ins.element.setAttribute("aria-label", `${t("input", { n })}. ${text}`);
        if (!silent && open) figure.say(text);
      };

      const rest = up ? 0 : (n + 2 * padding - reach) % stride;
      const kinds = [...new Set(counts.flatMap((a) => counts.map((b) => a * b)))].sort((a, b) => a - b);
      // Of each place between two strides: how many kernel taps land on it, far from the edge?
      const taps = range(stride).map((i) => range(kernel).filter((k) => (k * dilation) % stride === i).length);
      const inner = (n + 2 * padding - reach) / stride;
      const formula = up
        ? `(${n} − 1)·${stride} − 2·${padding} + ${reach} = ${out}`
        : `⌊(${n} + 2·${padding} − ${reach}) / ${stride}⌋ + 1 = ⌊${Number(inner.toFixed(2))}⌋ + 1 = ${out}`;
      fill(stage,
        h("div", { class: "x-row x-grids" }, h("div", {}, h("p", { class: "x-head" }, t("input", { n })), ins.element),
          open && h("div", {}, h("p", { class: "x-head", dataset: { value: "output" } }, t("output", { n: out })), outs.element)),
        open && line("formula", 
          dilation > 1 && `${dilation}·(${kernel} − 1) + 1 = ${reach}; `, formula),
        open && rest > 0 && line("left", t("left", { n: rest, p: Math.min(rest, padding) })),
        open && !up && used.size < n && line("unread", t("unread", { n: n * n - used.size ** 2, all: n * n })),
        open && up && line("stamps", t("stamps", { list: kinds.join(", ") }), " ",
          t(taps.includes(0) ? "gaps" : new Set(taps).size > 1 ? "uneven" : "even")),
        open && h("p", { class: "x-note" }, t("pixels")));
      pick();
    };

    const pile = (open) => {
      pick = () => {};
      if (!open) return fill(stage);
      const levels = stack(get("layers"), op());
      const { sees } = levels.at(-1);
      const step = get("dilation") * (get("kernel") - 1);
      const high = sees / 24; // of a row, in pixels of the image
      const fine = sees <= 90;
      const picture = svg("svg", { class: "x-pile", role: "img", "aria-label": `${t("sees")} ${sees}`,
        viewBox: `0 0 ${sees} ${levels.length * 2 * high}` },
      levels.map(({ values, jump, centre }, i) => {
        const y = (levels.length - 1 - i) * 2 * high;
        const x = (v) => v * jump + centre;
        const most = Math.max(...values);
        return [
          svg("rect", { class: "x-bed", x: x(0), y, width: x(most) - x(0) + 1, height: high }),
          fine && values.map((v) => svg("rect", { class: "x-lit", x: x(v) + 0.1, y, width: 0.8, height: high })),
        ];
      }));
      fill(stage, picture, h("table", {},
        head("layers", "jump", "sees"),
        levels.map((level, i) => h("tr", {}, h("th", { scope: "row" }, i || t("image")), h("td", {}, level.jump),
          h("td", { dataset: { value: `sees-${i}` } },
            i ? `${levels[i - 1].sees} + ${step}·${levels[i - 1].jump} = ${level.sees}` : 1))).reverse()));
    };

    const unet = (open) => {
      pick = () => {};
      const { paper, padded } = get("networks");
      const s = get("side");
      const whole = Math.ceil(s / 16) * 16;
      const [one, two] = [walk(paper, s), walk(padded, whole)];
      if (one.out === undefined) figure.problem(one.odd ? t("odd", { s, n: one.odd }) : t("none", { s }));
      if (!open) return fill(stage);
      const [left, right] = [stagesOf(paper, one, s), stagesOf(padded, two, whole)];
      const told = ({ list, skip }) => {
        const [first, ...others] = list.filter((n, i) => n !== list[i - 1]);
        const joined = skip ? `${first} ∥ ${skip}` : first;
        const crop = skip > first && ` (${t("crop", { n: (skip - first) / 2 })})`;
        return h("td", {}, joined, crop, others.map((n) => ` → ${n}`));
      };
      fill(stage,
        one.out && line("fits", t("fits", { s, n: one.out, d: s - one.out })),
        whole > s && line("multiple", t("multiple", { s, n: whole })),
        h("table", {}, head("stage", "paper", "padded", "sees"),
          right.map((two, i) =>
            h("tr", { dataset: { stage: two.name } }, h("th", { scope: "row" }, h("code", {}, two.name.replace("_layer", ""))),
              left[i] ? told(left[i]) : h("td", {}, "–"), told(two), h("td", {}, get("sees")[two.name] ?? "")))));
    };

    const show = () => {
      const tab = get("tab");
      const open = tab in get("guesses");
      for (const key of ["tab", "transposed", ...NUMBERS]) controls[key].set(get(key));
      for (const key of NUMBERS) controls[key].element.hidden = !SHOWN[tab].includes(key);
      controls.transposed.element.hidden = tab !== "layer";
      sideRow.hidden = tab !== "unet";
      side.value = get("side");
      jumps.forEach((button, i) => {
        const s = near(i * 2 - 1);
        button.textContent = i ? `${s} ▸` : `◂ ${s}`;
        button.disabled = s < 1 || s > get("ranges").side[1];
      });
      const answered = open && form.matches(":focus-within");
      form.hidden = open;
      fill(asked, t(`ask-${tab}`));
      guess.setAttribute("aria-label", t(`ask-${tab}`));
      guess.value = "";
      figure.problem("");
      silent = true;
      ({ layer, stack: pile, unet })[tab](open);
      silent = false;
      if (answered) stage.focus({ preventScroll: true }); // the form is gone, and with it the focus would be
    };
    const place = () => pick();
    const watched = ["tab", "transposed", "side", "guesses", ...NUMBERS].map((key) => `change:${key}`);
    figure.add(controls.tab, row(NUMBERS.map((key) => controls[key]), controls.transposed), sideRow, form, stage);
    watched.forEach((event) => model.on(event, show));
    model.on("change:place", place);
    show();
    figure.ready();
    return () => {
      watched.forEach((event) => model.off(event, show));
      model.off("change:place", place);
    };
  },
};

/** A square grid: its element, and the rectangles by row and column. */
function grid(n, cell, attributes, ofCell, mark) {
  const cells = range(n).map((r) => range(n).map((c) =>
    svg("rect", { x: c * 20 + 1, y: r * 20 + 1, width: 18, height: 18, ...ofCell(r, c) })));
  const element = svg("svg", { class: "x-squares", viewBox: `0 0 ${n * 20} ${n * 20}`, width: n * cell, height: n * cell, ...attributes },
    cells.map((line) => svg("g", attributes.role === "grid" && { role: "row" }, line)),
    svg("g", { "aria-hidden": "true" }, cells.map((line, r) => line.map((_, c) => {
      const text = mark(r, c);
      return text !== false && svg("text", { x: c * 20 + 10, y: r * 20 + 14 }, text);
    }))));
  return { element, cells };
}

/** The stages of a walk: the sizes in each, and the size of the skip that it joins. */
function stagesOf(steps, { sizes }, side) {
  const stages = [];
  let now = { list: [side] };
  sizes.forEach((n, i) => {
    const [name, kind, skip] = steps[i];
    if (kind === "pool" || kind === "up") now = { list: [] };
    else {
      if (now.name && now.name !== name) now = { list: [] };
      if (!now.name) stages.push(now);
      now.name = name;
    }
    if (kind === "join") now.skip = sizes[skip];
    else now.list.push(n);
  });
  return stages;
}
