/** How one number of a map was made. */

const BENDS = ["relu", "prelu", "leaky_relu"];

/**
 * Walk back from an operation over ReLUs and additions, along the main path, to what feeds them.
 *
 * @param net   has `operation(name)` and `program`, see engine.js
 * @returns { base, from, steps, reads }: the operation there (undefined for the network's input) and
 *          its name; steps [{ op, other }] from there to `name`, `other` being the value that an
 *          addition adds, the shortcut; and the names of all values that the arithmetic reads
 */
export function wayTo(net, name) {
  const shape = (op) => String(net.operation(op)?.shape);
  const ends = Object.values(net.program.cuts).flat(); // [operation, which input skips]
  const [steps, reads] = [[], [name]];
  for (let from = name; ; ) {
    const base = net.operation(from);
    const sum = base?.op === "add" && shape(base.inputs[0]) === shape(base.inputs[1]);
    if (!sum && !BENDS.includes(base?.op)) {
      return { base, from, steps, reads: [...reads, from, ...(base?.inputs ?? [])] };
    }
    const skip = sum ? (ends.find(([at]) => at === from)?.[1] ?? 1) : 1;
    const other = base.inputs[skip];
    steps.unshift({ op: base, other });
    if (other) reads.push(other);
    from = base.inputs[1 - skip];
  }
}

/**
 * What an operation reads for its number at (c, y, x): one term for each input channel, strongest
 * first, { channel, patch, kernel, sum }, with null in `patch` where there is nothing to read.
 * A pooling has one term without a kernel. Null for operations that do not look through a window.
 */
export function termsAt(op, { data, shape: [channels, height, width] }, [c, y, x]) {
  const { stride, padding, dilation = [1, 1], groups = channels, kernel: window } = op.attributes;
  const { weight } = op.weights;
  if (!window && weight?.shape.length !== 4) return null;
  const turned = op.op === "conv_transpose2d";
  const [rows, columns] = window ?? weight.shape.slice(2);
  const read = channels / groups; // channels that one number reads
  const made = window ? 1 : turned ? weight.shape[1] : weight.shape[0] / groups; // of one group
  const group = Math.floor(c / made);

  /** The place in the input, along one side, that place k of the kernel meets. */
  const meets = (i, k, side, length) => {
    const at = turned
      ? (i + padding[side] - k * dilation[side]) / stride[side]
      : i * stride[side] - padding[side] + k * dilation[side];
    return Number.isInteger(at) && at >= 0 && at < length ? at : NaN;
  };
  const terms = Array.from({ length: read }, (_, j) => {
    const channel = group * read + j;
    const [patch, kernel] = [[], []];
    for (let k = 0; k < rows * columns; k++) {
      const i = meets(y, Math.floor(k / columns), 0, height);
      const at = (channel * height + i) * width + meets(x, k % columns, 1, width);
      patch.push(at >= 0 ? data[at] : null);
      const row = turned ? channel * made + (c % made) : c * read + j;
      kernel.push(weight?.data[row * rows * columns + k]);
    }
    return { channel, patch, kernel, sum: patch.reduce((sum, v, k) => sum + (v ?? 0) * kernel[k], 0) };
  });
  return { columns, terms: terms.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)) };
}
