/** Degradation player: measured curves by depth, and two networks trained in the page. */
import { button, choice, row, slider, toggle } from "../parts/controls.js";
import { fill, h } from "../parts/dom.js";
import { plot } from "../parts/plot.js";
import { calm } from "../parts/slow.js";
import { trainBeside } from "../trainer-worker.js";

const KINDS = ["plain", "residual"];
const LOSS = "train_loss";
const CLOSE = 0.05; // losses that differ by less count as equal

export const degradationPlayer = {
  name: "degradation-player",
  words: {
    en: {
      title: "Degradation player",
      hint: "Move the depth: which curve stays behind? Then predict, and train two networks yourself. A deep plain network is slow, not stuck; its gradient does not vanish at the start, it explodes.",
      measured: "Measured",
      training: "Train it yourself",
      depth: "Layers",
      plain: "Plain",
      residual: "Residual",
      measure: "Show",
      percent: "{what}, %",
      train_error: "training error",
      test_error: "test error",
      train_loss: "training loss",
      gradient: "first gradient",
      every_seed: "Every seed",
      log: "Log scale",
      epoch: "epoch",
      guessing: "guessing",
      name: "plain-{depth}",
      nameA: "ResNet-{depth}",
      table: "Last epoch, {measure}: mean of {seeds} seeds (range)",
      network: "{i} · Layers",
      shortcuts: "Shortcuts",
      setting: "The same recipe, but {pictures} pictures and {steps} steps; measured above were {pictures0} and {steps0}. Compare what happens, not the numbers.",
      predict: "Whose training loss will end lower?",
      equal: "about equal",
      first: "First say whose loss will end lower.",
      start: "Train",
      stop: "Stop",
      again: "New seed",
      seed: "Seed {seed}",
      step: "{name}: step {k} of {steps}",
      epochs: "; epoch {e}: loss {loss}, {wrong} % wrong",
      left: "about {s} s left",
      begun: "Training both.",
      stopped: "Stopped.",
      right: "As predicted: ",
      wrong: "Not as predicted: ",
      won: "{name} ends lower.",
      tie: "they end less than {close} apart.",
      once: " One run, one seed: does a new seed say the same?",
      about: "Norm of the gradient at the first convolution. Look at the first steps; later, weights that have grown make it smaller.",
      forbidden: "This page may not start workers, so nothing can be trained here. The measured curves above stand in.",
    },
    zh: {
      title: "退化播放器",
      hint: "拖动层数：哪条曲线落在后面？然后先预测，再亲手训练两个网络。很深的普通网络是学得慢，不是停住了；它的梯度在开始时没有消失，而是爆炸。",
      measured: "实测曲线",
      training: "亲手训练",
      depth: "层数",
      plain: "普通",
      residual: "残差",
      measure: "显示",
      percent: "{what}（%）",
      train_error: "训练误差",
      test_error: "测试误差",
      train_loss: "训练损失",
      gradient: "首层梯度",
      every_seed: "逐个种子",
      log: "对数刻度",
      epoch: "轮",
      guessing: "随机猜",
      name: "普通-{depth}",
      nameA: "残差-{depth}",
      table: "最后一轮的{measure}：{seeds} 个种子的均值（范围）",
      network: "{i} · 层数",
      shortcuts: "捷径",
      setting: "方法相同，但这里是 {pictures} 张图片、{steps} 步；上面实测的是 {pictures0} 张、{steps0} 步。请比较现象，不要比较数值。",
      predict: "谁最后的训练损失更小？",
      equal: "差不多",
      first: "请先预测谁的损失更小。",
      start: "开始训练",
      stop: "停止",
      again: "换种子",
      seed: "种子 {seed}",
      step: "{name}：第 {k} 步，共 {steps} 步",
      epochs: "；第 {e} 轮：损失 {loss}，错 {wrong} %",
      left: "约剩 {s} 秒",
      begun: "两个网络开始训练。",
      stopped: "已停止。",
      right: "与预测一致：",
      wrong: "与预测不同：",
      won: "{name} 的损失更小。",
      tie: "两者相差不到 {close}。",
      once: "这只是一个种子的一次训练：换个种子还一样吗？",
      about: "第一个卷积处梯度的范数。请看最初几步；之后权重变大，也会使它变小。",
      forbidden: "此页面不能使用后台线程，无法在这里训练。请看上方的实测曲线。",
    },
  },

  render({ model, t, figure }) {
    const set = (name, value) => {
      model.set(name, value);
      model.save_changes();
    };
    const closers = [measuredPart, trainingPart].map((part) => part(model, t, figure, set));
    figure.ready();
    return () => closers.forEach((close) => close());
  },
};

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const curve = (values) => values.map((v, i) => [i + 1, v]);
/** Words for what is shown, and by what it is multiplied: errors are shown in per cent. */
const unit = (t, measure) => (measure.endsWith("error") ? [t("percent", { what: t(measure) }), 100] : [t(measure), 1]);
const look = (shortcut) => ({ kind: shortcut ? "skip" : "plain", dashed: Boolean(shortcut) });
const nameOf = (t, { depth, shortcut }) => t(shortcut ? "nameA" : "name", { depth });
/** Where a log axis begins: at the power of ten below the smallest number. */
const bottom = (values) => 10 ** Math.floor(Math.log10(Math.min(...values.filter((v) => v > 0), 1)));

/** Call `act` when one of these traits changes; returns what ends that. */
function listen(model, names, act) {
  const all = (how) => names.forEach((name) => model[how](`change:${name}`, act));
  all("on");
  return () => all("off");
}

function section(t, figure, name, ...content) {
  figure.add(h("div", { class: "x-part", role: "group", "aria-label": t(name) },
    h("p", {}, t(name)), content.map((item) => item.element ?? item)));
}

// --- The measured curves --------------------------------------------------------------------------

function measuredPart(model, t, figure, set) {
  const { depths, curves } = model.get("measured");
  const chart = plot();
  const table = h("table", {});
  const switchOf = (name) => toggle({ label: t(name), onChange: (on) => set(name, on) });
  const kinds = KINDS.map((kind) => toggle({
    label: t(kind), skip: kind === "residual",
    onChange: () => set("show", KINDS.filter((_, i) => kinds[i].value)),
  }));
  kinds[0].element.classList.add("x-plain");
  const controls = {
    depth: slider({
      label: t("depth"), min: 0, max: depths.length - 1, value: 0, format: (i) => depths[i],
      onInput: (i) => set("depth", depths[i]),
    }),
    measure: choice({
      label: t("measure"), options: ["train_error", "test_error", LOSS].map((m) => [m, t(m)]),
      onChange: (value) => set("measure", value),
    }),
    every_seed: switchOf("every_seed"),
    log: switchOf("log"),
  };
  section(t, figure, "measured", row(controls.depth, kinds),
    row(controls.measure, controls.every_seed, controls.log), chart, table);

  function redraw() {
    const { depth, show, measure, every_seed, log } = Object.fromEntries(
      [...Object.keys(controls), "show"].map((name) => [name, model.get(name)]));
    for (const name of ["measure", "every_seed", "log"]) controls[name].set(model.get(name));
    controls.depth.set(depths.indexOf(depth));
    kinds.forEach((control, i) => control.set(show.includes(KINDS[i])));

    const [title, times] = unit(t, measure);
    const runs = (kind, d) => curves[kind][d][measure].map((run) => run.map((v) => v * times));
    const lines = show.flatMap((kind) => {
      const shortcut = kind === "residual";
      const name = nameOf(t, { depth, shortcut });
      const all = runs(kind, depth);
      if (every_seed) return all.map((run, i) => ({ ...look(shortcut), points: curve(run), name: i ? "" : name }));
      const epochs = all[0].map((_, e) => all.map((run) => run[e]));
      return {
        ...look(shortcut), name, points: curve(epochs.map(mean)),
        band: epochs.map((values, e) => [e + 1, Math.min(...values), Math.max(...values)]),
      };
    });
    // The axis is the same at all depths: the slider should move curves, not the axis.
    const all = KINDS.flatMap((kind) => depths.flatMap((d) => runs(kind, d).flat()));
    chart.draw({
      label: [title, ...lines.map(({ name }) => name)].join(" "), lines,
      x: { low: 1, high: runs("plain", depth)[0].length, title: t("epoch") },
      y: { title, log, low: log ? bottom(all) : 0, high: times > 1 ? 100 : Math.max(...all) },
    });

    const last = (kind, d) => {
      const ends = runs(kind, d).map((run) => run.at(-1));
      const [a, b, c] = [mean(ends), Math.min(...ends), Math.max(...ends)].map((v) => v.toFixed(times > 1 ? 1 : 3));
      return h("td", { dataset: { value: `${kind}-${d}` } }, `${a} (${b}–${c})`);
    };
    const heads = (...texts) => texts.map((text) => h("th", { scope: "col" }, text));
    fill(table,
      h("caption", {}, t("table", { measure: title, seeds: runs("plain", depth).length })),
      h("tr", {}, heads(t("depth"), t("plain"), t("residual"))),
      depths.map((d) => h("tr", { "aria-current": d === depth && "true" },
        h("th", { scope: "row" }, d), KINDS.map((kind) => last(kind, d)))));
  }
  const deaf = listen(model, ["show", ...Object.keys(controls)], redraw);
  redraw();
  return () => {
    deaf();
    chart.close();
  };
}

// --- Training in the page -------------------------------------------------------------------------

function trainingPart(model, t, figure, set) {
  const training = model.get("training");
  const { batch, epochs, classes } = training;
  const measured = model.get("measured");
  const [pictures, labels] = ["pictures", "labels"].map((name) => {
    const { buffer, byteOffset, byteLength } = model.get(name);
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  const every = labels.length / batch; // steps in an epoch
  const steps = every * epochs;
  const READ = {
    [LOSS]: ({ loss }) => loss,
    train_error: ({ wrong }) => wrong / batch,
    gradient: ({ gradient }) => gradient,
  };
  let runs = []; // of each network: reports, thread, begun, done
  let [showing, guess, frame] = [LOSS, null, 0];

  const name = (i) => `${i + 1} · ${nameOf(t, model.get("pair")[i])}`;
  const change = (i, more) =>
    set("pair", model.get("pair").map((net, k) => (k === i ? { ...net, ...more } : net)));
  const nets = [0, 1].map((i) => ({
    depth: slider({
      label: t("network", { i: i + 1 }), min: 8, max: training.deepest, step: 6, value: 8,
      onInput: (depth) => change(i, { depth }),
    }),
    shortcuts: toggle({
      label: t("shortcuts"), skip: true, onChange: (on) => change(i, { shortcut: on ? "A" : null }),
    }),
    bar: h("progress", { max: steps }),
    text: h("span", { class: "x-steps", dataset: { value: `network${i + 1}` } }),
  }));
  const question = h("div", {});
  const start = button({ label: t("start"), primary: true, onClick: begin }).element;
  const stop = button({ label: t("stop"), onClick: () => halt(t("stopped")) }).element;
  const again = button({ label: t("again"), onClick: () => set("seed", model.get("seed") + 1) });
  const state = h("span", { dataset: { value: "state" } });
  const what = choice({
    label: t("measure"), value: showing, options: Object.keys(READ).map((m) => [m, t(m)]),
    onChange: (value) => {
      showing = value;
      redraw();
    },
  });
  const about = h("p", { class: "x-note" }, t("about"));
  const chart = plot();
  section(t, figure, "training",
    h("p", { class: "x-note" }, t("setting", {
      pictures: labels.length, steps, pictures0: measured.pictures, steps0: measured.steps,
    })),
    nets.map(({ depth, shortcuts }) => row(depth, shortcuts)), question, row(start, stop, again, state),
    nets.map(({ bar, text }) => row(bar, text)), what, about, chart);

  const running = () => runs.some(({ done }) => !done);

  function begin() {
    if (guess.value === undefined) {
      figure.problem(t("first"));
      return guess.inputs[0].focus();
    }
    renew();
    const seed = model.get("seed");
    runs = model.get("pair").map(({ depth, shortcut }) => {
      const run = { reports: [], begun: performance.now(), done: false };
      run.thread = trainBeside({ ...training, depth, shortcut: Boolean(shortcut), seed }, pictures, labels, {
        step(report) {
          run.reports.push(report);
          if (!calm() || report.step % every === 0) later();
        },
        end() {
          run.done = true;
          if (!running()) judge(seed);
          later();
        },
        problem(reason) {
          halt(t("stopped"));
          if (reason) figure.problem(reason);
          else forbidden();
        },
      });
      return run;
    });
    figure.say(t("begun"));
    redraw();
  }

  function halt(words) {
    if (running()) figure.say(words);
    for (const run of runs) {
      run.thread.stop();
      run.done = true;
    }
    redraw();
  }

  /** What is drawn belongs to another pair or seed, or to an earlier run. */
  function renew() {
    halt(t("stopped"));
    runs = [];
    figure.problem("");
    if (model.get("trained").length) set("trained", []);
    redraw();
  }

  function forbidden() {
    renew();
    const deep = Math.max(...model.get("pair").map(({ depth }) => depth));
    set("depth", measured.depths.find((depth) => depth >= deep) ?? measured.depths.at(-1));
    set("show", KINDS);
    figure.problem(t("forbidden"));
  }

  /** One number an epoch: the mean over its steps. */
  const byEpoch = ({ reports }, read) =>
    Array.from({ length: Math.floor(reports.length / every) }, (_, e) =>
      mean(reports.slice(e * every, (e + 1) * every).map(read)));

  function judge(seed) {
    const trained = runs.map((run, i) => ({
      ...model.get("pair")[i], seed,
      train_loss: byEpoch(run, READ[LOSS]), train_error: byEpoch(run, READ.train_error),
    }));
    set("trained", trained);
    const [a, b] = trained.map((net) => net[LOSS].at(-1));
    const winner = Math.abs(a - b) < CLOSE ? 2 : Number(b < a);
    const words = t(winner === guess.value ? "right" : "wrong") +
      t(winner === 2 ? "tie" : "won", { name: name(winner % 2), close: CLOSE }) + t("once");
    figure.say(words);
  }

  /** Draw once per picture on the screen, however many steps have come. */
  function later() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      redraw();
    });
  }

  function redraw() {
    const pair = model.get("pair");
    const busy = running();
    if (!busy && document.activeElement === stop) start.focus();
    stop.disabled = !busy;
    let seconds = 0;
    nets.forEach(({ depth, shortcuts, bar, text }, i) => {
      depth.set(pair[i].depth);
      shortcuts.set(Boolean(pair[i].shortcut));
      const { reports, begun } = runs[i] ?? { reports: [] };
      const k = reports.length;
      const e = Math.floor(k / every);
      if (k && busy) seconds = Math.max(seconds, ((performance.now() - begun) / 1000) * (steps / k - 1));
      bar.value = k;
      bar.setAttribute("aria-label", name(i));
      const last = (measure, times, digits) => (byEpoch(runs[i], READ[measure]).at(-1) * times).toFixed(digits);
      fill(text, t("step", { name: name(i), k, steps }),
        e > 0 && t("epochs", { e, loss: last(LOSS, 1, 3), wrong: last("train_error", 100, 1) }));
    });
    fill(state, t("seed", { seed: model.get("seed") }),
      seconds > 0 && `, ${t("left", { s: Math.ceil(seconds) })}`);

    const [log, read] = [showing === "gradient", READ[showing]];
    about.style.visibility = log ? "" : "hidden"; // its place stays
    const [title, times] = unit(t, showing);
    const chance = { train_loss: Math.log(classes), train_error: 100 * (1 - 1 / classes) }[showing];
    const lines = pair.flatMap((net, i) => {
      const run = runs[i] ?? { reports: [] };
      const points = run.reports.map((report) => [report.step / every, read(report) * times]);
      const one = { ...look(net.shortcut), dashed: i === 1, points, name: name(i) };
      if (log) return one;
      return [{ ...one, thin: true, name: "" }, { ...one, points: curve(byEpoch(run, read).map((v) => v * times)) }];
    });
    const all = lines.flatMap(({ points }) => points.map(([, v]) => v));
    const guessing = { points: [[0, chance], [epochs, chance]], name: t("guessing") };
    chart.draw({
      label: [title, name(0), name(1)].join(" "), lines: log ? lines : [guessing, ...lines],
      x: { low: 0, high: epochs, title: t("epoch") },
      y: { title, log, low: log ? bottom(all) : 0, high: times > 1 ? 100 : Math.max(3, ...all) },
    });
  }

  function ask() {
    guess = choice({
      label: t("predict"), options: [name(0), name(1), t("equal")].map((text, i) => [i, text]),
      onChange: () => figure.problem(""),
    });
    fill(question, guess.element);
  }

  /** Another pair is another question. */
  const another = () => {
    ask();
    renew();
  };
  const deaf = [listen(model, ["pair"], another), listen(model, ["seed"], renew)];
  another();
  if (typeof Worker !== "function") forbidden();
  return () => {
    deaf.forEach((end) => end());
    runs.forEach(({ thread }) => thread.stop());
    cancelAnimationFrame(frame);
    chart.close();
  };
}
