/** A network as drawing, layer table and source; what is pointed at in one lights up in all. */
import { button, choice, row, select, slider } from "../parts/controls.js";
import { fill, h, svg } from "../parts/dom.js";

export const networkMap = {
  name: "network-map",
  words: {
    en: {
      title: "Network map: drawing, table and source, linked",
      hint: "Try: point at a box, a row or a line of code, or walk with Tab and the arrow keys. Click or press Enter to keep it lit. Open a stage with ▸ to see its blocks.",
      guess_size: "Before you touch anything: the image becomes twice as high and twice as wide. The parameters",
      guess_width: "Before you touch anything: init_features doubles. The parameters",
      x1: "stay", x2: "double", x4: "quadruple",
      first: "Guess, and you will see the count.", right: "Right.", wrong: "Not so.",
      verdict: "{a} parameters become {b}: × {ratio}. The multiply-adds: × {work}.",
      why_size: "A kernel is as large as it is, on any map; it is only used at more places.",
      why_width: "A kernel has a number for each pair of an input and an output channel, and both double.",
      network: "Network", size: "Image side", half: "÷ 2", twice: "× 2",
      drawing: "Drawing", table: "Table", source: "Source", show: "Show",
      name: "step", output: "output", parameters: "parameters", work: "multiply-adds", total: "total",
      inside: "Inside {name}", keys: "{panel}: arrow keys move, Enter marks",
      fit: "Use {up}", refuses: "The network refuses a side of {n}, which is no multiple of {multiple}:",
      marked: "{name}: {shape}, {a} parameters, {b} multiply-adds.", several: "{n} steps are marked.", nothing: "Nothing is marked.",
    },
    zh: {
      title: "网络地图：结构图、逐层表与源码，互相联动",
      hint: "试一试：指向一个方框、一行表格或一行代码，也可以用 Tab 键和方向键移动；单击或按回车键可以固定高亮。点 ▸ 展开一个阶段，看看里面的残差块。",
      guess_size: "动手之前先猜：图像的高和宽都加倍，参数量会",
      guess_width: "动手之前先猜：init_features 加倍，参数量会",
      x1: "不变", x2: "变成 2 倍", x4: "变成 4 倍",
      first: "先猜一猜，再看统计结果。", right: "对。", wrong: "不对。",
      verdict: "参数量从 {a} 变为 {b}，是原来的 {ratio} 倍；乘加次数是原来的 {work} 倍。",
      why_size: "卷积核的大小与特征图的大小无关，只是用在了更多的位置上。",
      why_width: "卷积核对每一对输入、输出通道都有一组数，而两者都加倍了。",
      network: "网络", size: "图像边长", half: "÷ 2", twice: "× 2",
      drawing: "结构图", table: "逐层表", source: "源码", show: "显示",
      name: "步骤", output: "输出", parameters: "参数量", work: "乘加次数", total: "合计",
      inside: "{name} 的内部", keys: "{panel}：用方向键移动，按回车键固定",
      fit: "改为 {up}", refuses: "边长必须是 {multiple} 的倍数，{n} 不行。网络给出的错误信息是：",
      marked: "{name}：{shape}，参数量 {a}，乘加次数 {b}。", several: "已固定 {n} 个步骤。", nothing: "没有固定任何步骤。",
    },
  },

  render({ model, t, figure }) {
    const { pieces, parts, networks, channels, multiple, problem } = model.get("family");
    const limits = model.get("limits");
    const names = Object.keys(networks);
    const asks = names.length > 1 ? "size" : "width";
    const put = (values) => {
      for (const [key, value] of Object.entries(values)) model.set(key, value);
      model.save_changes();
    };
    const breadth = names.length > 1 ? "width" : "init_features"; // what the network calls its width
    let tree, known, byLine;

    // --- controls
    const depth = names.length > 1 && select({
      label: t("network"), options: names.map((name) => [name, name]), value: model.get("architecture"),
      onChange: (architecture) => put({ opened: [], chosen: [], architecture }),
    });
    const size = slider({
      label: t("size"), min: multiple, max: limits.size, step: Math.max(1, multiple / 2), value: model.get("size"),
      onInput: (value) => put({ size: value }),
    });
    const width = slider({
      label: breadth, min: 1, max: limits.width, value: model.get("width"), onInput: (value) => put({ width: value }),
    });
    const scale = (factor) => put({ size: Math.min(limits.size, Math.max(1, Math.floor(factor * model.get("size")))) });
    const half = button({ label: t("half"), onClick: () => scale(0.5) });
    const twice = button({ label: t("twice"), onClick: () => scale(2) });
    for (const { element } of [half, twice]) element.setAttribute("aria-label", `${t("size")} ${element.textContent}`);

    let guess = null;
    const guesses = choice({
      label: t(`guess_${asks}`), options: [1, 2, 4].map((factor) => [factor, t(`x${factor}`)]),
      onChange(factor) {
        guess = factor;
        judge();
      },
    });
    const judged = h("p", { class: "x-note x-judged", role: "status", dataset: { value: "verdict" } }, t("first"));
    const judge = () => {
      if (!guess) return;
      const now = [model.get("size"), model.get("width")];
      const [a, b] = [1, 2].map((factor) => {
        const steps = expand(networks[model.get("architecture")].steps, parts);
        measure(steps, now[0] * (asks === "size" ? factor : 1), now[1] * (asks === "width" ? factor : 1));
        return sum(steps);
      });
      const ratio = b.parameters / a.parameters;
      const nearest = [1, 2, 4].sort((p, q) => Math.abs(p - ratio) - Math.abs(q - ratio))[0];
      judged.textContent = [
        t(guess === nearest ? "right" : "wrong"),
        t("verdict", { a: format(a.parameters), b: format(b.parameters), ratio: ratio.toFixed(2), work: (b.work / a.work).toFixed(2) }),
        t(`why_${asks}`),
      ].join(" ");
    };

    // --- three panels
    const call = h("code", { dataset: { value: "call" } });
    const totals = h("div", { class: "x-totals" });
    const refusal = h("div", { class: "x-problem x-refusal", role: "alert", hidden: true });
    const panels = Object.fromEntries(["drawing", "table", "source"].map((name) =>
      [name, h("div", { class: `x-panel x-${name}`, role: "group", "aria-label": t("keys", { panel: t(name) }) })]));
    const views = h("div", { class: "x-linked", dataset: { tab: "drawing" } }, Object.values(panels));
    const tabs = choice({
      label: t("show"), value: "drawing", options: Object.keys(panels).map((name) => [name, t(name)]),
      onChange(name) {
        views.dataset.tab = name;
        light(model.get("chosen"));
      },
    });
    tabs.element.classList.add("x-tabs");
    figure.add(guesses, judged, row(depth, size, half, twice, width), totals, h("div", { class: "x-fits" }, tabs.element, views, refusal));

    const light = (paths, from) => {
      const lines = new Set(paths.flatMap((path) => known.get(path)?.lines ?? []));
      for (const panel of Object.values(panels)) {
        const marks = [...panel.querySelectorAll("[data-path], [data-line]")];
        const shown = new Set(marks.map(({ dataset }) => dataset.path));
        const lit = new Set(paths.map((path) => {
          while (!shown.has(path) && path.includes(".")) path = path.slice(0, path.lastIndexOf("."));
          return path;
        }));
        for (const mark of marks) {
          mark.classList.toggle("x-lit", lit.has(mark.dataset.path) || lines.has(Number(mark.dataset.line)));
        }
        if (panel !== from) reveal(panel, ({ dataset }) => byLine.get(Number(dataset.line))?.length ?? 0);
      }
    };
    const pathsOf = ({ dataset }) => (dataset.path ? [dataset.path] : byLine.get(Number(dataset.line)));
    for (const panel of Object.values(panels)) {
      const mark = ({ target }) => target.closest("[data-path], [data-line]");
      const point = (event) => {
        const found = mark(event);
        light(found ? pathsOf(found) : model.get("chosen"), panel);
      };
      const leave = () => light(model.get("chosen"), panel);
      const press = (event) => {
        const opener = event.target.closest("[data-open]");
        if (opener) return toggle(opener.dataset.open, panel);
        const found = mark(event);
        if (!found) return;
        const paths = pathsOf(found);
        const same = String(model.get("chosen")) === String(paths);
        put({ chosen: same ? [] : paths });
        light(same ? [] : paths, panel);
        const [one] = paths.map((path) => known.get(path));
        figure.say(same ? t("nothing") : paths.length > 1 ? t("several", { n: paths.length })
          : t("marked", { name: one.path, shape: shape(one), a: format(one.parameters), b: format(one.work) }));
      };
      panel.addEventListener("pointerover", point);
      panel.addEventListener("pointerleave", leave);
      panel.addEventListener("focusout", leave);
      panel.addEventListener("click", press);
      panel.addEventListener("focusin", (event) => {
        stops(panel).forEach((stop) => stop.setAttribute("tabindex", stop === event.target ? 0 : -1));
        point(event);
      });
      panel.addEventListener("keydown", (event) => {
        const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
        const all = stops(panel);
        if (move) all[all.indexOf(document.activeElement) + move]?.focus();
        else if (!["Enter", " "].includes(event.key) || event.target.tagName === "BUTTON") return;
        else press(event);
        event.preventDefault();
      });
    }
    const toggle = (path, panel) => {
      const opened = model.get("opened");
      put({ opened: opened.includes(path) ? opened.filter((other) => other !== path) : [...opened, path] });
      panel.querySelector(`[data-open="${path}"]`)?.focus();
    };

    // --- showing
    const useFit = (up) => () => {
      put({ size: up });
      size.input.focus(); // the button is gone, and with it the focus would be
    };
    const show = () => {
      const [n, opened] = [model.get("size"), model.get("opened")];
      const fits = n % multiple === 0;
      measure(tree, n, model.get("width"));
      const { parameters, work } = sum(tree);
      size.input.step = fits ? Math.max(1, multiple / 2) : 1;
      size.input.min = fits ? multiple : 1;
      size.set(n);
      width.set(model.get("width"));
      const more = { ...model.get("settings"), [breadth]: model.get("width") };
      call.textContent = `${model.get("architecture")}(${Object.entries(more).map((pair) => pair.join("=")).join(", ")})`;
      const up = Math.ceil(n / multiple) * multiple;
      const value = (key, number) => h("span", {}, h("b", { dataset: { value: key } }, number), ` ${t(key)}`);
      fill(totals, call, value("parameters", format(parameters)), value("work", fits ? format(work) : "–"));
      refusal.hidden = fits;
      fill(refusal, !fits && [t("refuses", { n, multiple }), " ",
        h("code", { lang: "en", dataset: { value: "error" } }, `ValueError: ${problem.replaceAll("{n}", n).replaceAll("{up}", up)}`), " ",
        up <= limits.size && button({ label: t("fit", { up }), onClick: useFit(up) }).element]);

      const seen = visible(tree, opened);
      const opens = ({ path }) => ({
        class: "x-open", "data-open": path, "aria-expanded": String(opened.includes(path)), "aria-label": t("inside", { name: path }),
      });
      const sign = ({ path }) => (opened.includes(path) ? "▾" : "▸");
      const opener = (node, x, y) => svg("text", { role: "button", x, y, ...opens(node) }, `${sign(node)} ${node.steps.length} × ${node.steps[0].kind}`);
      fill(panels.table, h("table", {},
        h("thead", {}, h("tr", {}, ["name", "output", "parameters", "work"].map((key) => h("th", { scope: "col" }, t(key))))),
        h("tbody", {}, seen.map((node) => h("tr", { dataset: { path: node.path }, class: node.skips && "x-skips" },
          h("th", { scope: "row", style: `--depth: ${node.depth}` }, node.steps && h("button", { type: "button", ...opens(node) }, sign(node)),
            h("button", { type: "button", class: "x-name" }, title(node), h("small", {}, node.title !== node.kind && ` ${node.kind}`))),
          h("td", {}, fits ? shape(node) : "–"), h("td", {}, format(node.parameters) || "–"),
          h("td", {}, (fits && format(node.work)) || "–")))),
        h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, t("total")), h("td", {}), h("td", {}, format(parameters)), h("td", {}, fits ? format(work) : "–")))));
      fill(panels.drawing, names.length > 1 ? column(seen, opened, [channels, n, n], opener) : drawU(tree, [channels, n, n]));
      for (const panel of Object.values(panels)) {
        stops(panel).forEach((stop, i) => stop.setAttribute("tabindex", i ? -1 : 0));
      }
      judge();
      mark();
    };
    const mark = () => {
      const chosen = model.get("chosen");
      for (const stop of views.querySelectorAll("[role=button][data-path], tr .x-name, button[data-line]")) {
        const own = pathsOf(stop.closest("[data-path], [data-line]"));
        stop.setAttribute("aria-pressed", String(chosen.length > 0 && String(own) === String(chosen)));
      }
      light(chosen, views.querySelector(":scope > :focus-within") ?? undefined);
    };
    const begin = () => {
      const { pieces: order, steps: described } = networks[model.get("architecture")];
      depth && depth.set(model.get("architecture"));
      tree = expand(described, parts);
      known = new Map(visible(tree, null).map((node) => [node.path, node]));
      byLine = new Map();
      for (const { path, lines } of known.values()) {
        for (const line of lines) byLine.set(line, [...(byLine.get(line) ?? []), path]);
      }
      fill(panels.source, order.map((i) => h("div", { class: "x-piece" },
        h("p", { class: "x-note" }, h("code", {}, `${pieces[i].where}.${pieces[i].name}`)),
        pieces[i].code.split("\n").map((text, at) => {
          const line = 1000 * i + at;
          const [code, ...comment] = text.split("#");
          const inside = [code, comment.length > 0 && h("i", {}, `#${comment.join("#")}`)];
          return byLine.has(line)
            ? h("button", { type: "button", class: "x-coded", dataset: { line } }, inside)
            : h("div", { class: "x-coded" }, inside, text === "" && " ");
        }))));
      show();
    };
    const changes = { architecture: begin, size: show, width: show, opened: show, chosen: mark };
    for (const [key, listener] of Object.entries(changes)) model.on(`change:${key}`, listener);
    begin();
    figure.ready();
    return () => {
      for (const [key, listener] of Object.entries(changes)) model.off(`change:${key}`, listener);
    };
  },
};

const format = (number) => number && number.toLocaleString("en-US");
const shape = (node) => node.shape.join("×");
const stops = (panel) => [...panel.querySelectorAll("button, [role=button]")];
const title = ({ name, kind, skips, flat }) => (skips || (flat && kind === name) ? kind : /^\d/.test(name) ? `[${name}]` : name);

/** The steps of a network with full names, blocks that repeat written out. */
function expand(steps, parts, prefix = "", depth = 0) {
  return steps.flatMap((step) => Array.from({ length: step.times ?? 1 }, (_, i) => {
    const inside = parts[step.part] ?? step;
    const name = step.times ? String(Number(step.name) + i) : step.name;
    const path = prefix + name;
    const node = { ...inside, name, path, depth, skips: inside.kind === "add" || inside.kind === "cat" };
    node.title = title(node);
    if (inside.steps) node.steps = expand(inside.steps, parts, `${path}.`, depth + 1);
    return node;
  }));
}

/** Steps in the order of a table: those whose parents are opened; all if `opened` is null. */
function visible(steps, opened) {
  return steps.flatMap((node) =>
    [node, ...(node.steps && (!opened || opened.includes(node.path)) ? visible(node.steps, opened) : [])]);
}

/** Give each step its shape, parameters and multiply-adds; returns the side that comes out. */
function measure(steps, from, width) {
  const grown = (factors = []) => factors.reduceRight((total, factor) => total * width + factor, 0);
  let side = from;
  for (const node of steps) {
    if (node.steps) {
      side = measure(node.steps, side, width);
      Object.assign(node, sum(node.steps), { shape: node.steps.at(-1).shape });
      continue;
    }
    const start = node.side ? from : side; // on the shortcut: what the block received
    const [kernel, stride, padding, transposed] = node.size ?? [];
    if (!node.size) side = start;
    else if (!kernel) side = 1;
    else if (transposed) side = (start - 1) * stride - 2 * padding + kernel;
    else side = Math.floor((start + 2 * padding - kernel) / stride) + 1;
    const [each, once] = [grown(node.per), grown(node.once)];
    node.shape = node.flat ? [grown(node.out)] : [grown(node.out), side, side];
    node.parameters = each + once;
    node.work = each * side * side + once;
  }
  return side;
}

const sum = (steps) => ({
  parameters: steps.reduce((total, node) => total + node.parameters, 0),
  work: steps.reduce((total, node) => total + node.work, 0),
});

/** Scroll a panel, and nothing else, until the most particular thing lit in it can be seen. */
function reveal(panel, shared) {
  const [first] = [...panel.querySelectorAll(".x-lit")].sort((a, b) => shared(a) - shared(b));
  if (!first) return;
  const [outer, inner] = [panel.getBoundingClientRect(), first.getBoundingClientRect()];
  if (inner.top < outer.top + 20 || inner.bottom > outer.bottom) panel.scrollTop += inner.top - outer.top - outer.height / 3;
}

// --- drawings: width goes with channels, height with size, both on a log scale

const wide = (channels) => 12 + 8.5 * Math.log2(channels);
const high = (side = 1) => 6 + 2.4 * Math.log2(side);
const words = (x, y, text, more) => svg("text", { x, y, ...more }, text);
const path = (d, kind = "x-main-line") => svg("path", { d, class: kind });

function box(node, x, y, label, more) {
  const [w, l] = node.skips ? [14, 14] : [wide(node.shape[0]), high(node.shape[1])];
  return svg("g", { role: "button", class: node.skips ? "x-box x-skips" : "x-box", "data-path": node.path, "aria-label": `${node.path} ${node.kind} ${shape(node)}` },
    svg("rect", { x: x - w / 2, y: y - l / 2, width: w, height: l, rx: node.skips ? 7 : 2 }),
    node.skips && words(x, y + 4, more, { "text-anchor": "middle" }),
    label && words(label[0], label[1], node.depth ? node.path : node.title, { class: "x-name", ...more }),
    label && label[2] !== 0 && words(label[0], label[1] + (label[2] ?? 12), shape(node), more));
}

const drawn = (w, top, bottom, ...children) => svg("svg", { viewBox: `0 ${top} ${w} ${bottom - top}`, style: `max-width: ${w * 1.25}px` }, children);

/** From top to bottom; every block has its shortcut as a bracket. */
function column(seen, opened, input, opener) {
  const [x, right, label] = [70, 139, 148];
  const children = [words(label, 14, "x", { class: "x-name" }), words(label, 26, input.join("×"))];
  let [y, frame] = [30, null];
  for (const node of seen.filter(({ depth }) => depth < 2)) {
    if (frame && !node.depth) {
      frame.setAttribute("height", y - frame.getAttribute("y"));
      [y, frame] = [y + 5, null];
    }
    if (node.steps && opened.includes(node.path) && !node.depth) {
      frame = svg("rect", { x: 1, y: y + 2, width: 258, rx: 5 });
      children.push(svg("g", { role: "button", class: "x-frame", "data-path": node.path, "aria-label": `${node.path} ${shape(node)}` },
        frame, words(8, y + 17, node.path, { class: "x-name" })), opener(node, label, y + 17));
      y += 22;
      continue;
    }
    const half = high(node.shape[1]) / 2;
    const middle = y + 8 + Math.max(half, 8);
    children.push(box(node, x, middle, [label, middle - 2]));
    y = middle + Math.max(half + 6, 16);
    if (!node.steps) continue;
    const plus = middle + half + 10;
    children.push(path(`M${x} ${middle - half - 5}H${right}V${plus}H${x + 6}`, "x-skip-line"), svg("circle", { cx: x, cy: plus, r: 5, class: "x-plus" }));
    if (!node.depth) children.push(opener(node, label, middle + 22));
    y = Math.max(plus + 8, middle + (node.depth ? 18 : 28));
  }
  return drawn(262, 0, y + 14, path(`M${x} 20V${y + 10}`), children);
}

/** Encoder down the left, decoder up the right, skips across, broken where two sizes do not meet. */
function drawU(steps, input) {
  const [left, right, pitch, from, to] = [46, 270, 104, 92, 226];
  const [lines, skips, boxes, sides] = [[], [], [], {}];
  const bottom = steps.findIndex(({ kind }) => kind === "ConvTranspose2d") - 1;
  let [level, last] = [0, [left, -30]];
  const place = (node, x, y, label, more) => {
    const [x0, y0] = last;
    lines.push(path(x > left && x < right ? `M${x0} ${y0}V${y}H${x}` : `M${x0} ${y0}H${x}V${y}`));
    boxes.push(box(node, x, y, label, more));
    last = [x, y];
  };
  const [middle, end] = ["middle", "end"].map((anchor) => ({ "text-anchor": anchor }));
  steps.forEach((node, i) => {
    const y = level * pitch;
    const top = y - (i === steps.length - 1 ? 66 : 28);
    if (node.kind === "MaxPool2d") {
      place(node, left, y + 52, [from, y + 56, 0]); // no room for its shape; the table has it
      level++;
    } else if (node.kind === "ConvTranspose2d") {
      level--;
      place(node, right, y - pitch + 46, [to, y - pitch + 44], end);
    } else if (node.kind === "cat") {
      const whole = sides[node.path.slice(4)] === node.shape[1]; // "cat encode_layer1": do both have one size?
      skips.push(path(`M${left} ${y + 6}H${right - 8}`, whole ? "x-skip-line" : "x-gone"));
      place(node, right, y + 6, null, whole ? "∥" : "≠");
    } else if (i < bottom) {
      sides[node.path] = node.shape[1];
      place(node, left, y + 6, [from, y, 18]);
    } else if (i === bottom) place(node, (left + right) / 2, y + 6, [(left + right) / 2, y + 32], middle);
    else place(node, right, top, [to, top - 2], end);
  });
  lines.push(path(`M${last[0]} ${last[1]}V-92`));
  return drawn(316, -98, 4 * pitch + 56, lines, skips, words(left, -48, "x", { class: "x-name", ...middle }), words(left, -36, input.join("×"), middle), boxes);
}
