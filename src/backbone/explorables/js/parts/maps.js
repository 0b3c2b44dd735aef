/** Feature maps: a grid of small pictures, each of them a button. */
import { paint, rangeOf } from "./colour.js";
import { h, fill } from "./dom.js";

/**
 * @param label   says what the grid shows, for screen readers
 * @param onPick  told the number of the channel that was picked; without it the maps are pictures
 * @param name    (channel) → its accessible name
 * @returns { element, show(value, options) }
 */
export function mapGrid({ label, onPick, name = (c) => `${c}` }) {
  const element = h("div", { class: "x-maps", role: "group", "aria-label": label });
  let canvases = [];
  const build = (count) => {
    canvases = Array.from({ length: count }, () => h("canvas", { class: "x-map" }));
    fill(element, canvases.map((canvas, c) =>
      onPick
        ? h("button", {
            type: "button", class: "x-map-button", "aria-label": name(c), "aria-pressed": "false",
            onclick: () => onPick(c),
          }, canvas)
        : Object.assign(canvas, { role: "img", ariaLabel: name(c) })));
  };
  return {
    element,

    /**
     * Show channels of a value { data, shape: [C, H, W] }, all on one scale.
     *
     * @param options  chosen: the channel that is marked; limit: how many to show; low, high and
     *                 map: instead of those of the value itself
     * @returns { low, high, signed } the range that was used
     */
    show({ data, shape: [channels, height, width] }, { chosen, limit = 64, ...scale } = {}) {
      const count = Math.min(channels, limit);
      if (canvases.length !== count) build(count);
      const area = height * width;
      const range = scale.low === undefined ? rangeOf(data.subarray(0, count * area)) : scale;
      canvases.forEach((canvas, c) => {
        paint(canvas, data.subarray(c * area, (c + 1) * area), height, width, { map: scale.map, ...range });
        if (onPick) canvas.parentElement.setAttribute("aria-pressed", String(c === chosen));
      });
      return range;
    },
  };
}
