/** Masks: which pixels a network calls foreground. */
import { paint } from "./colour.js";

/** Pixels whose strongest class is not 0; of a single map, those above 0. */
export function maskOf({ data, shape: [classes, height, width] }) {
  const area = height * width;
  return Uint8Array.from({ length: area }, (_, i) => {
    if (classes === 1) return data[i] > 0;
    for (let c = 1; c < classes; c++) if (data[c * area + i] > data[i]) return 1;
    return 0;
  });
}

/** The share of pixels in a mask, as text in per cent. */
export const shareOf = (mask) => `${((100 * mask.reduce((a, b) => a + b, 0)) / mask.length).toFixed(1)} %`;

/** Intersection over union of two masks; 1 if both are empty. */
export function overlap(a, b) {
  let [both, either] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    both += a[i] && b[i];
    either += a[i] || b[i];
  }
  return either ? both / either : 1;
}

/** The picture in grey, the mask over it in green, the outline of the truth, if known, in white. */
export function drawOverlay(canvas, pixels, mask, truth, size) {
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
