/** One residual block: both paths, what decides the shortcut, what PyTorch refuses, what it costs. */
import { choice, row, select, slider, toggle } from "../parts/controls.js";
import { fill, h, svg } from "../parts/dom.js";

const CHANNELS = [1, 16, 32, 64, 128, 256, 512, 1024];

export const blockLab = {
  name: "block-lab",
  words: {
    en: {
      title: "Block lab: does x fit?",
      hint: "Try: find two settings in which the forced identity fails at the channels, and one in which it fails at the size. Then let in_planes be 1, force it, and see what PyTorch does not say.",
      guess: "BasicBlock(64, 64) adds x as it is. Make it a Bottleneck and leave the rest alone. The shortcut",
      stays: "stays the identity", channels: "must project: channels", size_differs: "must project: size",
      first: "Guess first, then try it.", check: "Now try it: choose Bottleneck.", right: "Right.", wrong: "Not so.",
      because: "x has {x}, F(x) has {f}.",
      kind: "Block", size: "Size of x", force: "Force an identity shortcut",
      drawing: "The block: x {x}; F(x) {f}; shortcut: {how}.",
      identity: "identity", projection: "projection", nothing_fits: "identity, which does not fit",
      question: "Adjust channels or stride?", true: "yes", false: "no",
      adjust: "The rule: project (1×1 conv, batch norm).",
      keep: "The rule: the identity, x as it is.",
      free: "The block decides for itself.", fits: "Forced, and it runs: x fits.",
      quiet: "No error: PyTorch repeats the one channel of x until it fits, and adds it to all {n}. Nobody asked for that.",
      cost: "Cost, with the same input", shortcut: "on the shortcut", main: "main path",
      parameters: "parameters", work: "multiply-adds",
      said: "{call} on {x}: {how}.",
    },
    zh: {
      title: "残差块实验室：x 加得上吗？",
      hint: "试一试：找出两组设置，使强制恒等时因通道数不同而出错，再找一组因尺寸不同而出错。然后把 in_planes 设为 1 并强制恒等，看看 PyTorch 有什么没说。",
      guess: "BasicBlock(64, 64) 直接加上 x。换成 Bottleneck，其他不动，捷径会",
      stays: "仍是恒等", channels: "需要投影：通道不同", size_differs: "需要投影：尺寸不同",
      first: "先猜，再动手。", check: "现在试一试：选 Bottleneck。", right: "对。", wrong: "不对。",
      because: "x 是 {x}，F(x) 是 {f}。",
      kind: "残差块", size: "x 的边长", force: "强制恒等捷径",
      drawing: "残差块：x 为 {x}；F(x) 为 {f}；捷径：{how}。",
      identity: "恒等", projection: "投影", nothing_fits: "恒等，但加不上",
      question: "要调整通道或步幅吗？", true: "是", false: "否",
      adjust: "按规则：投影（1×1 卷积加批量归一化）。",
      keep: "按规则：恒等，直接加上 x。",
      free: "由残差块自己决定。", fits: "强制之后可以运行：x 加得上。",
      quiet: "没有报错：PyTorch 把 x 仅有的一个通道重复使用，加到全部 {n} 个通道上。这并不是我们想要的。",
      cost: "输入相同时的代价", shortcut: "捷径部分", main: "主路径",
      parameters: "参数量", work: "乘加次数",
      said: "{call}，输入 {x}：{how}。",
    },
  },

  render({ model, t, figure }) {
    const [kinds, decision, errors] = ["kinds", "decision", "errors"].map((key) => model.get(key));
    const names = Object.keys(kinds);
    const put = (key) => (value) => {
      model.set(key, value);
      model.save_changes();
    };
    const number = (key) => {
      const options = CHANNELS.map((n) => [n, n]);
      const control = select({ label: h("code", {}, key), options, value: model.get(key), onChange: put(key) });
      return {
        element: control.element,
        set(value) {
          if (!options.some(([n]) => n === value)) {
            options.push([value, value]);
            control.input.append(h("option", { value }, value));
          }
          control.set(value);
        },
      };
    };
    const controls = {
      block: choice({ label: t("kind"), options: names.map((name) => [name, name]), onChange: put("block") }),
      in_planes: number("in_planes"),
      planes: number("planes"),
      stride: choice({ label: h("code", {}, "stride"), options: [[1, "1"], [2, "2"]], onChange: put("stride") }),
      size: slider({ label: t("size"), min: 1, max: 224, value: model.get("size"), onInput: put("size") }),
      forced: toggle({ label: t("force"), skip: true, onChange: put("forced") }),
    };
    let guess = null;
    const guesses = choice({
      label: t("guess"), options: ["stays", "channels", "size_differs"].map((key) => [key, t(key)]),
      onChange(key) {
        guess = key;
        show();
      },
    });
    const judged = h("p", { class: "x-note x-judged", role: "status", dataset: { value: "verdict" } }, t("first"));
    const drawing = h("div", { class: "x-block" });
    const asked = h("div", { class: "x-asked" });
    const message = h("div", { class: "x-message", role: "status" });
    const cost = h("div", { class: "x-cost" });
    figure.add(guesses, judged, row(...Object.values(controls)),
      h("div", { class: "x-lab" }, drawing, h("div", {},
        h("p", { class: "x-head" }, t("question")), asked, message, h("p", { class: "x-head" }, t("cost")), cost)));

    const show = () => {
      for (const [key, control] of Object.entries(controls)) control.set(model.get(key));
      const [name, ins, planes, stride, size, forced] = Object.keys(controls).map((key) => model.get(key));
      const block = measure(kinds[name], ins, planes, stride, size);
      const [x, f] = [[ins, size, size], [block.out, block.side, block.side]];
      const fits = String(x) === String(f);
      const { needed } = block; // of a 1×1 map stride 2 changes nothing, yet the block projects
      const error = forced && complaint([1, ...f], [1, ...x], errors);
      const how = t(error ? "nothing_fits" : forced || !needed ? "identity" : "projection");
      const call = signature(name, ins, planes, stride);

      fill(drawing, draw(block.steps.filter(({ side }) => !side || !forced), x, f, {
        label: t("drawing", { x: by(x), f: by(f), how }), how: t("identity"), needed, error,
      }));

      const conditions = [
        ["stride != 1", `${stride} != 1`, stride !== 1],
        ["in_planes != expansion * planes", `${ins} != ${kinds[name].expansion} * ${planes}`, ins !== block.out],
      ];
      const taken = decision[needed ? "projection" : "identity"];
      fill(asked, conditions.map(([code, values, holds], i) =>
        h("p", { class: holds ? "x-condition x-lit" : "x-condition", dataset: { condition: i, holds } },
          h("span", {}, i > 0 && h("b", {}, "or "), h("code", {}, code)), h("code", {}, values), h("b", {}, t(holds)))),
      h("p", { dataset: { value: "decision" } }, t(needed ? "adjust" : "keep")),
      h("div", { class: "x-code", tabindex: 0, role: "group", "aria-label": "projection" }, decision.code.split("\n").map((line, i) =>
        h("div", { class: i >= taken[0] && i <= taken[1] ? "x-coded x-lit" : "x-coded" }, line))));

      const quiet = forced && !error && !fits;
      message.className = error || quiet ? "x-message x-problem" : "x-message x-note";
      fill(message, error ? h("code", { lang: "en", dataset: { value: "error" } }, `RuntimeError: ${error}`)
        : t(quiet ? "quiet" : forced ? "fits" : "free", { n: block.out }));

      const other = names.find((kind) => kind !== name);
      const others = Math.max(1, Math.floor(block.out / kinds[other].expansion));
      const beside = measure(kinds[other], ins, others, stride, size);
      const rows = [[call, block, forced, "this"], [signature(other, ins, others, stride), beside, false, "other"]];
      const most = (key) => Math.max(...rows.map(([, { total }]) => total[key][0] + total[key][1]));
      fill(cost, rows.map(([text, one, without, who]) => [
        h("p", {}, h("code", {}, text), h("span", { class: "x-note" }, ` → ${by([one.out, one.side, one.side])}`)),
        ["parameters", "work"].map((key) => {
          const [main, aside] = [one.total[key][0], without ? 0 : one.total[key][1]];
          const bar = (amount, skips) => h("i", { class: skips ? "x-skips" : "", style: `width: ${(100 * amount) / most(key)}%` });
          const runs = key === "parameters" || !(without && error);
          return h("div", { class: "x-price" }, h("span", {}, t(key)), h("b", { dataset: { value: `${who}-${key}` } }, runs ? (main + aside).toLocaleString("en-US") : "–"),
            h("span", { class: "x-track" }, runs && [bar(main), bar(aside, true)]));
        })]), h("p", { class: "x-note x-legend" }, h("i", {}), ` ${t("main")} `, h("i", { class: "x-skips" }), ` ${t("shortcut")}`));

      const reached = name === names[1] && ins === planes && stride === 1;
      if (guess) {
        const truth = !needed ? "stays" : ins !== block.out ? "channels" : "size_differs";
        judged.textContent = reached ? `${t(guess === truth ? "right" : "wrong")} ${t("because", { x: by(x), f: by(f) })}` : t("check");
      }
      figure.say(t("said", { call, x: by(x), how }));
    };
    for (const key of Object.keys(controls)) model.on(`change:${key}`, show);
    show();
    figure.ready();
    return () => {
      for (const key of Object.keys(controls)) model.off(`change:${key}`, show);
    };
  },
};

const by = (shape) => shape.join("×");
const signature = (name, ins, planes, stride) => `${name}(${ins}, ${planes}${stride === 1 ? "" : `, stride=${stride}`})`;

/** Shapes and cost of a block; `total` has [main path, shortcut] of each. */
function measure({ steps, expansion }, ins, planes, stride, size) {
  const grown = ([a, b]) => a * ins + b * planes;
  const out = expansion * planes;
  const needed = stride !== 1 || ins !== out; // a projection
  const total = { parameters: [0, 0], work: [0, 0] };
  let side = size;
  const measured = steps.filter((step) => needed || !step.side).map((step) => {
    const from = step.side && step.in ? size : side;
    side = step.strided ? Math.ceil(from / stride) : from;
    const channels = grown(step.out);
    const once = step.kind === "BatchNorm2d" ? 2 * channels : 0;
    const each = step.in ? step.kernel ** 2 * grown(step.in) * channels : 0;
    total.parameters[Number(step.side)] += each + once;
    total.work[Number(step.side)] += each * side * side + once;
    return { ...step, shape: [channels, side, side], stride: step.strided ? stride : 1 };
  });
  return { steps: measured, out, side, needed, total };
}

/** What PyTorch says to `a += b`, with the shapes of both; "" if nothing. */
function complaint(a, b, { differ, smaller }) {
  for (let dim = a.length - 1; dim >= 0; dim--) {
    if (a[dim] !== b[dim] && a[dim] !== 1 && b[dim] !== 1) {
      return differ.replace("{a}", a[dim]).replace("{b}", b[dim]).replace("{dim}", dim);
    }
  }
  const both = a.map((n, i) => (n === 1 ? b[i] : n));
  const list = (shape) => `[${shape.join(", ")}]`;
  return both.some((n, i) => n !== a[i]) ? smaller.replace("{a}", list(a)).replace("{b}", list(both)) : "";
}

/** Main path downwards in blue, the shortcut beside it in orange. */
function draw(steps, x, f, { label, how, needed, error }) {
  const [main, aside] = [100, 262];
  const children = [];
  const line = (d, kind) => children.push(svg("path", { d, class: kind }));
  const text = (content, at, y, kind, anchor = "middle") => children.push(svg("text", { x: at, y, "text-anchor": anchor, class: kind }, content));
  const box = (step, at, y) => {
    const width = 62 + 10 * Math.log2(step.shape[0]);
    const height = 15 + 1.2 * Math.log2(step.shape[1]);
    const what = step.kernel ? ` ${step.kernel}×${step.kernel}${step.stride > 1 ? ` /${step.stride}` : ""}` : "";
    children.push(svg("rect", { x: at - width / 2, y: y - height / 2, width, height, rx: 3, class: step.side ? "x-skips" : "" }));
    text(`${step.name.replace("downsample", "")}${step.side ? step.kind.replace("2d", "") : ""}${what}`.replace(/^\.\d/, ""), at, y + 4);
  };
  const way = steps.filter(({ side }) => !side);
  const beside = steps.filter(({ side }) => side);
  const pitch = 400 / way.length; // both kinds of block fill the same height
  const end = 54 + pitch * (way.length - 2);
  const bottom = end + 2 * pitch;
  line(`M${main} 30V${end - 9}`, "x-main-line");
  line(`M${main} ${end + 9}V${bottom - 12}`, error ? "x-gone" : "x-main-line");
  line(`M${main} 38H${aside}V${end}H${main + (error ? 46 : 9)}`, "x-skip-line");
  text("x", main, 12, "x-name");
  text(by(x), main, 25);
  way.forEach((step, i) => {
    const y = 62 + pitch * i;
    if (step.kind === "add") {
      children.push(svg("circle", { cx: main, cy: end, r: 9, class: error ? "x-gone" : "x-plus" }));
      text(error ? "✗" : "+", main, end + 4, error ? "x-fails" : "x-name");
      text("F(x)", main - 14, end - 9, "x-name", "end");
      text(by(f), main - 14, end + 4, "", "end");
    } else if (i === way.length - 1) {
      if (error) return;
      box(step, main, end + pitch);
    } else {
      box(step, main, y);
      if (i < way.length - 3) text(by(step.shape), main + 6, y + pitch / 2 + 4, "", "start");
    }
  });
  // A diamond on the shortcut says what the block decides.
  children.push(svg("path", { d: `M${aside} 62l22 15-22 15-22-15z`, class: "x-plus" }));
  text(needed ? "≠" : "=", aside, 82, "x-name");
  if (beside.length) beside.forEach((step, i) => box(step, aside, 122 + pitch * i));
  else text(how, aside - 6, 122, "x-how", "end");
  text(beside.length ? by(f) : by(x), aside - 6, end - 8, "x-how", "end");
  if (!error) {
    text("y", main, bottom + 2, "x-name");
    text(by(f), main, bottom + 15);
  }
  return svg("svg", { viewBox: `0 0 344 ${bottom + 20}`, role: "img", "aria-label": label }, children);
}
