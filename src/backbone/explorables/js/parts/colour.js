/** The colour maps of the book's figures, and numbers painted with them. */

// Every 1/16 of matplotlib's magma and PRGn; in between, colours are mixed. test_colour compares.
const STOPS = {
  sequential: 
    "0000040a08221d114736106b51127c6a1c818326819c2e7fb73779d0416fe75263f56b5cfc8961fea772fec488fde2a3fcfdbf",
  diverging: 
    "40004b621a6e7f3c8d9568a6ae8bbdc7abd2dec9e2ede2eef6f7f6e4f2e0cbeac5abdda57ec37f50a65a29844010632b00441b",
  grey: "000000ffffff",
};

const tables = {};

/** 256 colours of a map as [r, g, b, r, g, b, …]. */
function table(name) {
  if (tables[name]) return tables[name];
  const stops = STOPS[name].match(/.{6}/g).map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const colours = new Uint8Array(768);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      colours[3 * i + c] = Math.round(stops[k][c] + (at - k) * (stops[k + 1][c] - stops[k][c]));
    }
  }
  return (tables[name] = colours);
}

/** The colour [r, g, b] at t, from 0 to 1, of a map: "sequential", "diverging" or "grey". */
export function colourOf(map, t) {
  const i = 3 * Math.round(255 * Math.min(1, Math.max(0, t)));
  return [...table(map).subarray(i, i + 3)];
}

/** The range of numbers; a signed one is made symmetric, so that its middle is zero. */
export function rangeOf(data) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of data) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const signed = low < 0;
  if (!signed) return { low: 0, high, signed };
  const reach = Math.max(-low, high);
  return { low: -reach, high: reach, signed };
}

/**
 * Paint h·w numbers on a canvas, one pixel each.
 *
 * @param options  low, high and signed, as from rangeOf: instead of those of the numbers themselves;
 *                 map: instead of the one that goes with them
 */
export function paint(canvas, data, h, w, { map, ...range } = {}) {
  const { low, high, signed } = range.low === undefined ? rangeOf(data) : range;
  const colours = table(map ?? (signed ? "diverging" : "sequential"));
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  const image = context.createImageData(w, h);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < h * w; i++) {
    const k = 3 * Math.max(0, Math.min(255, Math.round((data[i] - low) * scale) || 0));
    image.data[4 * i] = colours[k];
    image.data[4 * i + 1] = colours[k + 1];
    image.data[4 * i + 2] = colours[k + 2];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
