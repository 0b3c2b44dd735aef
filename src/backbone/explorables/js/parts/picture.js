/** A picture from the reader: one of a few samples, a file, the clipboard, or painted by hand. */
import { paint } from "./colour.js";
import { button, row, select, slider } from "./controls.js";
import { h } from "./dom.js";
import { speaker } from "./figure.js";

const MAX_BYTES = 30e6;
const MAX_PIXELS = 40e6;
const MIN_SIDE = 8;

const WORDS = {
  en: {
    pad: "The input, {size}×{size}. Paint on it: drag, or move with the arrow keys and press space.",
    brush: "Brush", light: "light", dark: "dark", width: "Width",
    more: "Paint, or open a picture",
    clear: "Clear", undo: "As it was", open: "Open a picture …",
    private: "A picture you open or paste stays on this page.",
    shared: "A picture you open or paste goes to your kernel, and nowhere else.",
    sample: "Sample {name}",
    notImage: "“{name}” is not a picture this browser can read. Try a PNG, JPEG or WebP file.",
    svg: "“{name}” is an SVG: a drawing, not pixels. Save it as PNG first.",
    empty: "“{name}” is empty (0 bytes). Choose another file.",
    heavy: "“{name}” has {size} MB. Up to 30 MB are read; save it smaller.",
    large: "“{name}” has {w}×{h} pixels, more than 40 million. Save it smaller.",
    tiny: "“{name}” has {w}×{h} pixels. At least 8×8 are needed to see anything.",
    clear_file: "“{name}” is transparent everywhere: there is nothing to see.",
    opened: "“{name}”, {w}×{h} pixels: its middle square, in grey, at {size}×{size}.",
    noPicture: "There is no picture in the clipboard. Copy one, then paste again.",
  },
  zh: {
    pad: "输入图像，{size}×{size}。可以在上面画：拖动鼠标，或用方向键移动、空格键落笔。",
    brush: "画笔", light: "亮", dark: "暗", width: "粗细",
    more: "涂画，或打开图片",
    clear: "清空", undo: "恢复原图", open: "打开图片……",
    private: "打开或粘贴的图片只留在本页，不会上传。",
    shared: "打开或粘贴的图片只会传给你的内核，不会去别处。",
    sample: "样本 {name}",
    notImage: "浏览器无法把“{name}”当作图片读取。请换一个 PNG、JPEG 或 WebP 文件。",
    svg: "“{name}”是 SVG 矢量图，没有像素。请先另存为 PNG。",
    empty: "“{name}”是空文件（0 字节）。请换一个文件。",
    heavy: "“{name}”有 {size} MB，最多读取 30 MB。请缩小后再试。",
    large: "“{name}”有 {w}×{h} 个像素，超过四千万。请缩小后再试。",
    tiny: "“{name}”只有 {w}×{h} 个像素。至少要 8×8 才看得出内容。",
    clear_file: "“{name}”完全透明，没有可看的内容。",
    opened: "“{name}”，{w}×{h} 像素：取中间的正方形，转为灰度，缩放到 {size}×{size}。",
    noPicture: "剪贴板里没有图片。请先复制一张图片，再粘贴。",
  },
};

/**
 * @param language   "en" or "zh"
 * @param samples    [{ name, data }] with size·size grey values from 0 to 255
 * @param size       side of the picture in pixels
 * @param onPicture  told (pixels, { kind, index }): Float32Array from 0 to 1, and where it comes
 *                   from: "sample" (with its index), "file" or "paint"
 * @param onMessage  told (text, isProblem)
 * @param alone      whether pictures stay on the page: no kernel receives them
 * @returns { element, pad, show(pixels), choose(index) }; `show` changes the picture, `choose` takes
 *          a sample, and neither tells `onPicture`
 */
export function pictureInput({ language, samples, size, onPicture, onMessage, start = 0, alone = true }) {
  const t = speaker(WORDS, language);
  let pixels = toUnit(samples[start].data);
  let original = pixels.slice();
  let source = { kind: "sample", index: start };
  let origin = source;
  const cursor = { x: size >> 1, y: size >> 1 };

  // --- the pad: shows the picture, and can be painted on ------------------------------------
  const pad = h("canvas", {
    class: "x-pad", tabindex: 0, role: "img", "aria-label": t("pad", { size }), title: t("pad", { size }),
  });
  const draw = (withCursor = false) => {
    paint(pad, pixels, size, size, { map: "grey", low: 0, high: 1 });
    if (!withCursor) return;
    const context = pad.getContext("2d");
    context.strokeStyle = "#e07b00";
    context.strokeRect(cursor.x - 2.5, cursor.y - 2.5, 5, 5);
  };
  const tell = () => onPicture(pixels.slice(), source);
  const brush = select({ label: t("brush"), options: [[1, t("light")], [0, t("dark")]], value: 1 });
  const width = slider({ label: t("width"), min: 1, max: Math.round(size / 6), value: Math.max(2, Math.round(size / 20)) });

  const dab = (x, y) => {
    const radius = width.value / 2;
    const from = (v) => Math.max(0, Math.floor(v - radius));
    const to = (v) => Math.min(size - 1, Math.ceil(v + radius));
    for (let j = from(y); j <= to(y); j++) {
      for (let i = from(x); i <= to(x); i++) {
        const inside = radius + 0.5 - Math.hypot(i - x, j - y); // one pixel of soft edge
        const share = Math.min(1, Math.max(0, inside));
        pixels[j * size + i] += share * (brush.value - pixels[j * size + i]);
      }
    }
    source = { kind: "paint" };
  };
  const stroke = (from, to) => {
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y)));
    for (let k = 0; k <= steps; k++) {
      dab(from.x + ((to.x - from.x) * k) / steps, from.y + ((to.y - from.y) * k) / steps);
    }
    draw();
    tell();
  };
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * size - 0.5, y: ((event.clientY - box.top) / box.height) * size - 0.5 };
  };
  let last = null;
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(last, last);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = place(event);
    stroke(last, now);
    last = now;
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));
  pad.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 1 : Math.max(1, size >> 5);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const keep = (v) => Math.min(size - 1, Math.max(0, v));
    if (moves[event.key]) {
      cursor.x = keep(cursor.x + moves[event.key][0]);
      cursor.y = keep(cursor.y + moves[event.key][1]);
    } else if (event.key === " ") stroke(cursor, cursor);
    else return;
    event.preventDefault();
    draw(true);
  });
  pad.addEventListener("focus", () => pad.matches(":focus-visible") && draw(true));
  pad.addEventListener("blur", () => draw());

  // --- samples and files ----------------------------------------------------------------------
  const take = (next, from) => {
    pixels = next.slice();
    source = from;
    if (from.kind !== "paint") [original, origin] = [next, from];
    draw();
  };
  const choose = (index) => take(toUnit(samples[index].data), { kind: "sample", index });
  const thumbs = samples.map(({ name, data }, index) => {
    const canvas = h("canvas");
    paint(canvas, data, size, size, { map: "grey", low: 0, high: 255 });
    return h("button", {
      type: "button", class: "x-map-button", "aria-label": t("sample", { name }), title: name,
      onclick: () => {
        choose(index);
        onMessage("", false);
        tell();
      },
    }, canvas);
  });
  const open = async (file) => {
    try {
      const { data, w, h: height } = await read(file, size);
      take(data, { kind: "file" });
      onMessage(t("opened", { name: file.name, w, h: height, size }), false);
      tell();
    } catch (problem) {
      if (!problem.key) throw problem;
      onMessage(t(problem.key, { name: file.name, ...problem }), true);
    }
  };
  const input = h("input", {
    type: "file", accept: "image/*", hidden: true,
    onchange: () => {
      if (input.files[0]) open(input.files[0]);
      input.value = ""; // the same file may be chosen again
    },
  });
  const element = h("div", { class: "x-picture" },
    pad,
    h("div", { class: "x-samples" }, thumbs),
    h("details", { class: "x-more" }, h("summary", {}, t("more")),
      row(brush, width),
      row(
        button({ label: t("clear"), onClick: () => { take(new Float32Array(size * size), { kind: "paint" }); tell(); } }),
        button({ label: t("undo"), onClick: () => { take(original, origin); onMessage("", false); tell(); } }),
        button({ label: t("open"), onClick: () => input.click() }),
        input),
      h("p", { class: "x-note" }, t(alone ? "private" : "shared"))));

  const drop = (event, active) => {
    event.preventDefault();
    element.classList.toggle("x-drop", active);
  };
  element.addEventListener("dragover", (event) => drop(event, true));
  element.addEventListener("dragleave", (event) => drop(event, false));
  element.addEventListener("drop", (event) => {
    drop(event, false);
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
  element.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (file) open(file);
    else onMessage(t("noPicture"), true);
  });
  draw();
  return {
    element, pad, choose,
    show(next, from = { kind: "paint" }) {
      take(Float32Array.from(next), from);
    },
    get pixels() {
      return pixels;
    },
  };
}

/**
 * The same for a figure whose model has `size`, `sample` (the one chosen last) and `picture` (bytes
 * of one that is not a sample): what the reader does goes there, and changes from there are shown.
 *
 * @param names      of the samples
 * @param bytes      their pixels, one after the other
 * @param onPicture  told (pixels, index), now and whenever the picture changes; index -1: no sample
 * @returns { element, close() }
 */
export function modelPicture({ model, t, figure, names, bytes, onPicture }) {
  const size = model.get("size");
  const samples = names.map((name, i) => ({ name, data: bytesOf(bytes).subarray(i * size * size, (i + 1) * size * size) }));
  let own = false;
  const keep = (picture, sample) => {
    own = true;
    model.set("sample", sample);
    model.set("picture", new DataView(Uint8Array.from(picture, (v) => Math.round(255 * v)).buffer));
    own = false;
    model.save_changes();
  };
  const input = pictureInput({
    language: t.language, samples, size, start: model.get("sample"), alone: Boolean(model.alone),
    onPicture(pixels, { kind, index }) {
      const sample = kind === "sample";
      keep(sample ? [] : pixels, sample ? index : model.get("sample"));
      onPicture(pixels, sample ? index : -1);
    },
    onMessage(text, isProblem) {
      figure.problem(isProblem ? text : "");
      if (!isProblem && text) figure.say(text);
    },
  });
  const show = () => {
    if (own) return;
    const [sample, picture] = [model.get("sample"), model.get("picture")];
    const painted = picture?.byteLength > 0;
    if (painted) input.show(toUnit(bytesOf(picture)));
    else input.choose(sample);
    onPicture(input.pixels.slice(), painted ? -1 : sample);
  };
  const showSample = () => {
    if (own) return;
    keep([], model.get("sample"));
    show();
  };
  model.on("change:sample", showSample);
  model.on("change:picture", show);
  show();
  return {
    element: input.element,
    close() {
      model.off("change:sample", showSample);
      model.off("change:picture", show);
    },
  };
}

/** Bytes as a widget receives them. */
export const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

const toUnit = (bytes) => Float32Array.from(bytes, (value) => value / 255);

class Problem extends Error {
  constructor(key, values = {}) {
    super(key);
    Object.assign(this, { key, ...values });
  }
}

/** The middle square of a picture file in grey, size·size numbers from 0 to 1. */
async function read(file, size) {
  if (file.size === 0) throw new Problem("empty");
  if (file.type === "image/svg+xml" || /\.svgz?$/i.test(file.name)) throw new Problem("svg");
  if (file.type && !file.type.startsWith("image/")) throw new Problem("notImage");
  if (file.size > MAX_BYTES) throw new Problem("heavy", { size: Math.round(file.size / 1e6) });
  const address = URL.createObjectURL(file);
  try {
    const picture = new Image();
    await new Promise((resolve, reject) => {
      picture.onload = resolve;
      picture.onerror = () => reject(new Problem("notImage"));
      picture.src = address;
    });
    // Known from the file's head; nothing has been unpacked yet.
    const [w, height] = [picture.naturalWidth, picture.naturalHeight];
    if (w * height > MAX_PIXELS) throw new Problem("large", { w, h: height });
    if (Math.min(w, height) < MIN_SIDE) throw new Problem("tiny", { w, h: height });
    return { data: toGrey(picture, w, height, size), w, h: height };
  } finally {
    URL.revokeObjectURL(address);
  }
}

function toGrey(picture, w, height, size) {
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const side = Math.min(w, height);
  context.drawImage(picture, (w - side) / 2, (height - side) / 2, side, side, 0, 0, size, size);
  const { data } = context.getImageData(0, 0, size, size);
  const grey = new Float32Array(size * size);
  let seen = 0;
  for (let i = 0; i < grey.length; i++) {
    const [r, g, b, a] = data.subarray(4 * i, 4 * i + 4);
    seen = Math.max(seen, a);
    grey[i] = ((0.299 * r + 0.587 * g + 0.114 * b) / 255) * (a / 255); // on black
  }
  if (seen === 0) throw new Problem("clear_file");
  return grey;
}
