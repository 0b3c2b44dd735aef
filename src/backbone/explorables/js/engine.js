/**
 * Runs a network in the page: no kernel, no library, one picture at a time.
 *
 *     const net = load(program, weights);          // both from export_program in Python
 *     const { output, maps } = net.run(pixels, { keep: ["layer1.0"], cut: ["layer2.0"] });
 *
 * A value is { data: Float32Array, shape }, with shape [C, H, W] for maps and [C] for scores; the
 * number at (c, y, x) is data[(c·H + y)·W + x]. No operation writes into its input, so the same
 * array may be in several places: read it, do not write to it.
 *
 * Everything is inside one function, so that its text can be given to a worker (engine-worker.js).
 */
export function makeEngine() {
  // --- Loading ----------------------------------------------------------------------------------

  /**
   * Make a program ready to run.
   *
   * @param program  the description, as an object or as JSON text
   * @param weights  its weights: an ArrayBuffer, or a view of one (as a widget receives it)
   */
  function load(program, weights) {
    const plan = typeof program === "string" ? JSON.parse(program) : program;
    const numbers = decode(weights, plan);
    const operations = plan.operations.map((op) => prepare(op, numbers));
    const byName = new Map(operations.map((op) => [op.name, op]));

    /** The operation that makes a module's result (in its last call), or the one of that name. */
    function find(name) {
      const made = Object.hasOwn(plan.modules, name) ? plan.modules[name].at(-1) : name;
      if (made === plan.input.name || byName.has(made)) return made;
      const folded = operations.find((op) => op.folded?.includes(name));
      throw new Error(
        folded
          ? `${name} has no map of its own: its batch norm is folded into it. ` +
            `Ask for ${folded.module}.`
          : `There is no module ${name}. Choose from ${Object.keys(plan.modules).join(", ")}.`,
      );
    }

    /** The run itself; it pauses between pieces of work, so that the page can breathe. */
    function* steps(input, options = {}) {
      const { keep = [], cut = [], muteChannels = {} } = options;
      const shape = inputShape(plan, input, options);
      const names = keep === "all" ? Object.keys(plan.modules) : keep;
      const kept = names.map((name) => [name, find(name)]);
      const cuts = cutInputs(plan, cut);
      const muted = mutedChannels(plan, byName, muteChannels);

      const values = new Map([[plan.input.name, { data: Float32Array.from(input), shape }]]);
      for (const op of operations) {
        const inputs = op.inputs.map((name) => values.get(name));
        const value = yield* perform(op, inputs, cuts.get(op.name));
        values.set(op.name, muted.has(op.name) ? mute(value, muted.get(op.name), op) : value);
        yield;
      }
      const maps = {};
      for (const [name, made] of kept) maps[name] = values.get(made);
      return { output: values.get(plan.output), maps };
    }

    return {
      program: plan,

      /**
       * Run the network.
       *
       * @param input    pixels, C·H·W numbers
       * @param options  height, width: those of the input, if not the ones of the program;
       *                 keep: names of modules whose maps to return, or "all";
       *                 cut: names of connections to leave out, as in backbone.anatomy.cut;
       *                 muteChannels: { module: [channel, …] }, set to zero in its results (parts
       *                 of the module that made them show them muted, too)
       * @returns { output, maps: { name: value } }
       */
      run(input, options) {
        const work = steps(input, options);
        for (;;) {
          const { done, value } = work.next();
          if (done) return value;
        }
      },

      /** The same, in slices of about `slice` milliseconds, with pauses for the page in between. */
      async runInSlices(input, options, slice = 12) {
        const work = steps(input, options);
        for (let end = performance.now() + slice; ; ) {
          const { done, value } = work.next();
          if (done) return value;
          if (performance.now() < end) continue;
          await nextTask();
          end = performance.now() + slice;
        }
      },

      /** The operation behind a module's map: kind, inputs, attributes, and weights as values. */
      operation: (name) => byName.get(find(name)),
    };
  }

  /** Bytes to a function that gives the numbers of one weight. */
  function decode(bytes, { dtype, floats }) {
    const view = ArrayBuffer.isView(bytes) ? bytes : new Uint8Array(bytes);
    const buffer = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    const [numbers, small] = dtype === "int8" ? rounded(buffer, floats) : [exact(buffer, dtype)];
    return ({ offset, shape, scale }) => {
      const end = offset + size(shape);
      const source = scale === undefined ? numbers : small;
      if (end > source.length) {
        throw new Error(
          "The weights do not belong to this program: " +
            `it needs at least ${end} numbers, got ${source.length}.`,
        );
      }
      const part = source.subarray(offset, end);
      if (scale === undefined) return part;
      const row = part.length / shape[0];
      return Float32Array.from(part, (step, i) => step * numbers[scale + Math.floor(i / row)]);
    };
  }

  function exact(buffer, dtype) {
    if (dtype === "float32") return new Float32Array(buffer);
    if (typeof Float16Array === "function") return Float32Array.from(new Float16Array(buffer));
    return Float32Array.from(new Uint16Array(buffer), fromHalf);
  }

  /** float32 numbers first, then kernels with one byte a weight. */
  function rounded(buffer, floats) {
    const fits = buffer.byteLength >= 4 * floats;
    return [new Float32Array(buffer, 0, fits ? floats : 0), new Int8Array(buffer, fits ? 4 * floats : 0)];
  }

  /** A half-precision number from its 16 bits: sign, 5 bits of exponent, 10 bits of fraction. */
  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24; // so small that the leading 1 is gone
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  /** An operation with its weights in place. */
  function prepare(op, numbers) {
    if (!Object.hasOwn(KINDS, op.op)) {
      throw new Error(`The engine does not know the operation ${op.op}, from module ${op.module}.`);
    }
    const weights = {};
    for (const [role, place] of Object.entries(op.weights ?? {})) {
      weights[role] = { data: numbers(place), shape: place.shape };
    }
    if (op.op === "conv_transpose2d") weights.rows = transposedRows(op, weights.weight);
    return { attributes: {}, ...op, weights };
  }

  // --- What a run is asked for ------------------------------------------------------------------

  function inputShape(plan, input, { height, width }) {
    const [channels, ...sizes] = plan.input.shape;
    const picture = sizes.length === 2;
    const shape = picture ? [channels, height ?? sizes[0], width ?? sizes[1]] : plan.input.shape;
    if (input.length !== size(shape)) {
      const needed = `${shape.join("·")} = ${size(shape)}`;
      throw new Error(`The input must have ${needed} numbers, got ${input.length}.`);
    }
    return shape;
  }

  /** Operation → which of its inputs are cut. */
  function cutInputs(plan, names) {
    const cuts = new Map();
    for (const name of names) {
      if (!Object.hasOwn(plan.cuts, name)) {
        const choice = Object.keys(plan.cuts).join(", ") || "none: this network has no skips";
        throw new Error(`There is no skip named ${name}. Choose from ${choice}.`);
      }
      for (const [at, i] of plan.cuts[name]) cuts.set(at, [...(cuts.get(at) ?? []), i]);
    }
    return cuts;
  }

  /** Operation → which of its channels are silent. A module called twice is muted twice. */
  function mutedChannels(plan, byName, asked) {
    const muted = new Map();
    for (const [module, channels] of Object.entries(asked)) {
      const made = plan.modules[module];
      if (!made) throw new Error(`There is no module ${module} to mute.`);
      for (const name of made) {
        const by = byName.get(name)?.module ?? "the input";
        // Dropout and Identity hand on what another module made: muted there, not only here.
        if (by !== module && !by.startsWith(module + ".")) {
          throw new Error(`${module} only hands on a result of ${by || "the model"}: mute that.`);
        }
        muted.set(name, [...(muted.get(name) ?? []), ...channels]);
      }
    }
    return muted;
  }

  function mute({ data, shape }, channels, op) {
    const silent = data.slice();
    const area = size(shape.slice(1));
    for (const c of channels) {
      if (!(Number.isInteger(c) && c >= 0 && c < shape[0])) {
        throw new Error(`${op.module} has channels 0 to ${shape[0] - 1}, got ${c}.`);
      }
      silent.fill(0, c * area, (c + 1) * area);
    }
    return { data: silent, shape };
  }

  /** Do one operation; the long ones pause on the way. */
  function* perform(op, inputs, cut) {
    if (cut && op.op === "add") return inputs[cut.includes(1) ? 0 : 1]; // F(x) alone
    if (cut) inputs = inputs.map((x, i) => (cut.includes(i) ? zeros(x.shape) : x)); // cat
    const result = KINDS[op.op](op, inputs);
    return typeof result.next === "function" ? yield* result : result;
  }

  // --- Convolution ------------------------------------------------------------------------------

  // How many numbers are gathered before they are multiplied: few enough for the processor's cache.
  const GATHERED = 16384;

  /**
   * A convolution is a matrix product in disguise. For every output pixel, gather the inputs under
   * the kernel into one row of `patches`; then every output number is the dot product of such a row
   * with a row of weights. Gathering costs memory traffic, but the product is where the time goes,
   * and it then runs through memory in order.
   */
  function* conv2d(op, [x]) {
    const { stride, padding, dilation, groups } = op.attributes;
    const { weight, bias } = op.weights;
    const [outChannels, inChannels, kh, kw] = weight.shape; // inChannels: those of one group
    const framed = frame(x, padding); // a border of zeros, so that nobody has to ask where it ends
    const [, height, width] = framed.shape;
    const outH = outSize(height, dilation[0] * (kh - 1) + 1, stride[0], op);
    const outW = outSize(width, dilation[1] * (kw - 1) + 1, stride[1], op);

    // Where the inputs under the kernel are, counted from the one under its top left corner.
    const taps = new Int32Array(inChannels * kh * kw);
    let t = 0;
    for (let c = 0; c < inChannels; c++)
      for (let ky = 0; ky < kh; ky++)
        for (let kx = 0; kx < kw; kx++)
          taps[t++] = (c * height + ky * dilation[0]) * width + kx * dilation[1];

    const area = outH * outW;
    const out = zeros([outChannels, outH, outW]);
    const rows = outChannels / groups;
    const block = blockSize(taps.length, area);
    const patches = new Float32Array(block * taps.length);
    for (let g = 0; g < groups; g++) {
      const corner = g * inChannels * height * width;
      for (let first = 0; first < area; first += block) {
        const count = Math.min(block, area - first);
        for (let j = 0, at = 0; j < count; j++, at += taps.length) {
          const y = Math.floor((first + j) / outW);
          const from = corner + y * stride[0] * width + (first + j - y * outW) * stride[1];
          gather(framed.data, from, taps, patches, at);
        }
        const [w, b] = [weight.data, bias?.data];
        multiply(w, g * rows, rows, patches, count, taps.length, out.data, first, area, b);
        yield;
      }
    }
    return out;
  }

  /**
   * A transposed convolution runs the other way: every input pixel is multiplied with the whole
   * kernel, and the kernel-sized stamps are added up where they overlap.
   */
  function* convTranspose2d(op, [x]) {
    const { stride, padding, output_padding: extra, dilation, groups } = op.attributes;
    const { weight, rows: kernelRows, bias } = op.weights;
    const [, outChannels, kh, kw] = weight.shape; // outChannels: those of one group
    const [channels, height, width] = x.shape;
    const inChannels = channels / groups;
    const fullH = (height - 1) * stride[0] + dilation[0] * (kh - 1) + 1 + extra[0];
    const fullW = (width - 1) * stride[1] + dilation[1] * (kw - 1) + 1 + extra[1];
    const full = zeros([outChannels * groups, fullH, fullW]);
    const fullArea = fullH * fullW;
    bias?.data.forEach((b, c) => full.data.fill(b, c * fullArea, (c + 1) * fullArea));

    const taps = Int32Array.from({ length: inChannels }, (_, c) => c * height * width);
    const rows = outChannels * kh * kw;
    const area = height * width;
    const block = blockSize(Math.max(inChannels, rows), area);
    const patches = new Float32Array(block * inChannels);
    const stamps = new Float32Array(rows * block);
    for (let g = 0; g < groups; g++) {
      for (let first = 0; first < area; first += block) {
        const count = Math.min(block, area - first);
        for (let j = 0; j < count; j++) {
          gather(x.data, g * inChannels * area + first + j, taps, patches, j * inChannels);
        }
        const at = -g * rows * block; // so that the group's rows begin at the beginning of `stamps`
        multiply(kernelRows, g * rows, rows, patches, count, inChannels, stamps, at, block);
        for (let r = 0; r < rows; r++) {
          const c = g * outChannels + Math.floor(r / (kh * kw));
          const ky = Math.floor(r / kw) % kh;
          const corner = (c * fullH + ky * dilation[0]) * fullW + (r % kw) * dilation[1];
          for (let j = 0; j < count; j++) {
            const y = Math.floor((first + j) / width);
            const to = corner + y * stride[0] * fullW + (first + j - y * width) * stride[1];
            full.data[to] += stamps[r * block + j];
          }
        }
        yield;
      }
    }
    return frame(full, [-padding[0], -padding[1]]); // padding takes away here
  }

  /** Weights of a transposed convolution as (group, out, ky, kx) rows of its inputs. */
  function transposedRows(op, { data, shape: [channels, outChannels, kh, kw] }) {
    const { groups } = op.attributes;
    const inChannels = channels / groups;
    const rows = outChannels * kh * kw;
    const turned = new Float32Array(data.length);
    for (let i = 0; i < channels; i++) {
      const g = Math.floor(i / inChannels);
      for (let r = 0; r < rows; r++) {
        turned[(g * rows + r) * inChannels + (i - g * inChannels)] = data[i * rows + r];
      }
    }
    return turned;
  }

  function gather(source, from, taps, patches, at) {
    for (let k = 0; k < taps.length; k++) patches[at + k] = source[from + taps[k]];
  }

  /** How many pixels to gather at a time. */
  function blockSize(length, area) {
    return Math.min(area, Math.max(16, 2 * Math.floor(GATHERED / length / 2)));
  }

  /**
   * out[row, j] = weights[row] · patches[j] + bias[row], for `rows` rows from row `first` on.
   *
   * Four rows and two patches at a time: six numbers are fetched for eight products, and the sums
   * stay in registers. The sums are double precision, which costs nothing here. The names are
   * s, row, patch: s21 is the sum for the third row and the second patch.
   */
  function multiply(weights, first, rows, patches, count, length, out, at, stride, bias) {
    const rows4 = rows - (rows % 4);
    const count2 = count - (count % 2);
    for (let i = 0; i < rows4; i += 4) {
      const row = first + i;
      const b0 = bias ? bias[row] : 0;
      const b1 = bias ? bias[row + 1] : 0;
      const b2 = bias ? bias[row + 2] : 0;
      const b3 = bias ? bias[row + 3] : 0;
      for (let j = 0; j < count2; j += 2) {
        let s00 = b0, s01 = b0, s10 = b1, s11 = b1, s20 = b2, s21 = b2, s30 = b3, s31 = b3;
        let w = row * length;
        const end = w + length;
        for (let p = j * length; w < end; w++, p++) {
          const w0 = weights[w];
          const w1 = weights[w + length];
          const w2 = weights[w + 2 * length];
          const w3 = weights[w + 3 * length];
          const p0 = patches[p];
          const p1 = patches[p + length];
          s00 += w0 * p0; s01 += w0 * p1;
          s10 += w1 * p0; s11 += w1 * p1;
          s20 += w2 * p0; s21 += w2 * p1;
          s30 += w3 * p0; s31 += w3 * p1;
        }
        const o = at + row * stride + j;
        out[o] = s00; out[o + 1] = s01;
        out[o + stride] = s10; out[o + stride + 1] = s11;
        out[o + 2 * stride] = s20; out[o + 2 * stride + 1] = s21;
        out[o + 3 * stride] = s30; out[o + 3 * stride + 1] = s31;
      }
    }
    // What is left at the edges: the last rows, and the last patch.
    for (let i = 0; i < rows; i++) {
      for (let j = i < rows4 ? count2 : 0; j < count; j++) {
        const row = first + i;
        let sum = bias ? bias[row] : 0;
        for (let k = 0; k < length; k++) sum += weights[row * length + k] * patches[j * length + k];
        out[at + row * stride + j] = sum;
      }
    }
  }

  function linear(op, [x]) {
    const { weight, bias } = op.weights;
    const [outputs, inputs] = weight.shape;
    const out = zeros([outputs]);
    multiply(weight.data, 0, outputs, x.data, 1, inputs, out.data, 0, 1, bias?.data);
    return out;
  }

  // --- Pooling and sizes ------------------------------------------------------------------------

  function maxPool2d(op, [x]) {
    const { dilation } = op.attributes;
    return pool(op, x, dilation, (data, row, width, ys, xs) => {
      let best = -Infinity;
      for (let y = ys[0]; y < ys[1]; y += dilation[0])
        for (let x = xs[0]; x < xs[1]; x += dilation[1]) {
          const v = data[row + y * width + x];
          if (v > best || v !== v) best = v; // as in PyTorch, NaN wins
        }
      return best;
    });
  }

  function avgPool2d(op, [x]) {
    return pool(op, x, [1, 1], (data, row, width, ys, xs, padded) => {
      let sum = 0;
      for (let y = ys[0]; y < ys[1]; y++)
        for (let x = xs[0]; x < xs[1]; x++) sum += data[row + y * width + x];
      return sum / (op.attributes.count_padding ? padded : (ys[1] - ys[0]) * (xs[1] - xs[0]));
    });
  }

  /** Give every window, without what hangs over the border, to `reduce`. */
  function pool(op, { data, shape: [channels, height, width] }, dilation, reduce) {
    const { kernel, stride, padding, ceil } = op.attributes;
    const sizes = [height, width].map((side, a) => {
      const reach = dilation[a] * (kernel[a] - 1) + 1;
      const out = outSize(side + 2 * padding[a] + (ceil ? stride[a] - 1 : 0), reach, stride[a], op);
      // The last window must start inside the picture or its left border.
      return ceil && (out - 1) * stride[a] >= side + padding[a] ? out - 1 : out;
    });
    const window = (i, side, a) => {
      let start = i * stride[a] - padding[a];
      const whole = Math.min(start + kernel[a], side + padding[a]) - start;
      const end = Math.min(start + dilation[a] * (kernel[a] - 1) + 1, side);
      while (start < 0) start += dilation[a];
      return [start, end, whole];
    };
    const columns = Array.from({ length: sizes[1] }, (_, i) => window(i, width, 1));
    const out = zeros([channels, ...sizes]);
    let o = 0;
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < sizes[0]; i++) {
        const ys = window(i, height, 0);
        const row = c * height * width;
        for (const xs of columns) out.data[o++] = reduce(data, row, width, ys, xs, ys[2] * xs[2]);
      }
    return out;
  }

  /** Split each side into as many parts as asked for, overlapping where it does not divide. */
  function adaptiveAvgPool2d(op, [{ data, shape: [channels, height, width] }]) {
    const [outH, outW] = op.attributes.size;
    const out = zeros([channels, outH, outW]);
    let o = 0;
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < outH; i++)
        for (let j = 0; j < outW; j++) {
          const [y0, y1] = [Math.floor((i * height) / outH), Math.ceil(((i + 1) * height) / outH)];
          const [x0, x1] = [Math.floor((j * width) / outW), Math.ceil(((j + 1) * width) / outW)];
          let sum = 0;
          for (let y = y0; y < y1; y++)
            for (let x = x0; x < x1; x++) sum += data[(c * height + y) * width + x];
          out.data[o++] = sum / ((y1 - y0) * (x1 - x0));
        }
    return out;
  }

  function mean(op, [x]) {
    const { data, shape } = adaptiveAvgPool2d({ attributes: { size: [1, 1] } }, [x]);
    return { data, shape: op.attributes.keep ? shape : shape.slice(0, 1) };
  }

  /** Which size, and how many input pixels to one output pixel, along height and width. */
  function resized(op, [, ...sides]) {
    const { size: fixed, factors, align_corners: align } = op.attributes;
    const sizes = fixed ?? sides.map((side, a) => Math.floor(side * factors[a]));
    const ratios = sides.map((side, a) => {
      if (align) return sizes[a] > 1 ? (side - 1) / (sizes[a] - 1) : 0;
      return factors ? 1 / factors[a] : side / sizes[a];
    });
    return [sizes, ratios];
  }

  function upsampleNearest(op, [{ data, shape }]) {
    const [channels, height, width] = shape;
    const [[outH, outW], ratios] = resized(op, shape);
    const out = zeros([channels, outH, outW]);
    let o = 0;
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < outH; i++) {
        const y = Math.min(Math.floor(i * ratios[0]), height - 1);
        for (let j = 0; j < outW; j++) {
          const x = Math.min(Math.floor(j * ratios[1]), width - 1);
          out.data[o++] = data[(c * height + y) * width + x];
        }
      }
    return out;
  }

  function upsampleBilinear(op, [{ data, shape }]) {
    const [channels, height, width] = shape;
    const [[outH, outW], ratios] = resized(op, shape);
    // Between which two input pixels an output pixel lies, and how far towards the second.
    const between = (i, ratio, side) => {
      const at = op.attributes.align_corners ? i * ratio : Math.max(0, (i + 0.5) * ratio - 0.5);
      const low = Math.min(Math.floor(at), side - 1);
      return [low, Math.min(low + 1, side - 1), at - low];
    };
    const out = zeros([channels, outH, outW]);
    let o = 0;
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < outH; i++) {
        const [y0, y1, dy] = between(i, ratios[0], height);
        const [top, bottom] = [(c * height + y0) * width, (c * height + y1) * width];
        for (let j = 0; j < outW; j++) {
          const [x0, x1, dx] = between(j, ratios[1], width);
          const above = data[top + x0] * (1 - dx) + data[top + x1] * dx;
          const below = data[bottom + x0] * (1 - dx) + data[bottom + x1] * dx;
          out.data[o++] = above * (1 - dy) + below * dy;
        }
      }
    return out;
  }

  /** Pad (or, where negative, crop) height and width by the same on both sides, with zeros. */
  function frame(x, [dy, dx]) {
    if (dy === 0 && dx === 0) return x;
    return pad({ attributes: { before: [0, dy, dx], after: [0, dy, dx], value: 0 } }, [x]);
  }

  function pad(op, [{ data, shape }]) {
    const { before, after, value } = op.attributes;
    const sizes = shape.map((n, a) => n + before[a] + after[a]);
    const out = zeros(sizes);
    if (value) out.data.fill(value);
    // As (C, H, W), whatever the rank; where each axis starts and ends, here and there.
    const [[, height, width], [channelsOut, heightOut, widthOut]] = [shape, sizes].map(threeSides);
    const [c0, y0, x0] = Array(3 - shape.length).fill(0).concat(before);
    const [left, right] = [Math.max(0, x0), Math.min(widthOut, x0 + width)];
    for (let c = Math.max(0, c0); c < Math.min(channelsOut, c0 + threeSides(shape)[0]); c++)
      for (let y = Math.max(0, y0); y < Math.min(heightOut, y0 + height); y++) {
        const from = ((c - c0) * height + y - y0) * width - x0;
        const to = (c * heightOut + y) * widthOut + left;
        out.data.set(data.subarray(from + left, from + right), to);
      }
    return out;
  }

  /** x[start:stop:step] along one axis. */
  function slice(op, [{ data, shape }]) {
    const { axis, start, stop, step } = op.attributes;
    const n = shape[axis];
    const inside = (i) => Math.min(n, Math.max(0, i < 0 ? i + n : i)); // as in Python
    const [first, end] = [inside(start), inside(stop ?? n)];
    const taken = Math.max(0, Math.ceil((end - first) / step));
    const inner = size(shape.slice(axis + 1));
    const out = zeros(shape.map((side, a) => (a === axis ? taken : side)));
    let o = 0;
    for (let outer = 0; outer < size(shape.slice(0, axis)); outer++)
      for (let i = 0; i < taken; i++, o += inner) {
        const from = (outer * n + first + i * step) * inner;
        for (let k = 0; k < inner; k++) out.data[o + k] = data[from + k];
      }
    return out;
  }

  // --- One number at a time ---------------------------------------------------------------------

  /** f of every number. */
  function map({ data, shape }, f) {
    const out = zeros(shape);
    for (let i = 0; i < data.length; i++) out.data[i] = f(data[i]);
    return out;
  }

  function relu(op, [{ data, shape }]) {
    const out = zeros(shape);
    for (let i = 0; i < data.length; i++) out.data[i] = data[i] < 0 ? 0 : data[i];
    return out;
  }

  function clamp(op, [x]) {
    const { low, high } = op.attributes;
    return map(x, (v) => Math.min(high ?? Infinity, Math.max(low ?? -Infinity, v)));
  }

  function prelu(op, [{ data, shape }]) {
    const slopes = op.weights.weight.data;
    const out = zeros(shape);
    const area = size(shape.slice(1));
    for (let c = 0; c < shape[0]; c++) {
      const slope = slopes[slopes.length === 1 ? 0 : c];
      for (let i = c * area; i < (c + 1) * area; i++)
        out.data[i] = data[i] < 0 ? slope * data[i] : data[i];
    }
    return out;
  }

  function scaleShift(op, [{ data, shape }]) {
    const { scale, shift } = op.weights;
    const out = zeros(shape);
    const area = size(shape.slice(1));
    for (let c = 0; c < shape[0]; c++)
      for (let i = c * area; i < (c + 1) * area; i++)
        out.data[i] = data[i] * scale.data[c] + shift.data[c];
    return out;
  }

  /** Along the channels; the largest score is taken off first, so that exp stays finite. */
  function softmax(op, [{ data, shape }]) {
    const out = zeros(shape);
    const area = size(shape.slice(1));
    for (let i = 0; i < area; i++) {
      let largest = -Infinity;
      for (let c = i; c < data.length; c += area) largest = Math.max(largest, data[c]);
      let sum = 0;
      for (let c = i; c < data.length; c += area) sum += out.data[c] = Math.exp(data[c] - largest);
      for (let c = i; c < data.length; c += area) out.data[c] /= sum;
    }
    return out;
  }

  function add(op, inputs) {
    const [a, b] = inputs;
    if (!b || size(a.shape) !== size(b.shape)) return combine((p, q) => p + q)(op, inputs);
    const out = zeros(a.shape);
    for (let i = 0; i < out.data.length; i++) out.data[i] = a.data[i] + b.data[i];
    return out;
  }

  /** f of two maps, or of a map and a number; sides of length 1 are repeated, as in PyTorch. */
  function combine(f) {
    return (op, [a, b]) => {
      if (!b) return map(a, (p) => f(p, op.attributes.value));
      const sides = [a, b].map((v) => threeSides(v.shape));
      const shape = sides[0].map((n, i) => Math.max(n, sides[1][i]));
      const fits = sides.every((s) => s.every((n, i) => n === 1 || n === shape[i]));
      if (!fits) throw misfit(op, [a, b]);
      // How far to go in memory for one step along each axis; nowhere if there is only one.
      const [sa, sb] = sides.map(([c, h, w]) => [c > 1 ? h * w : 0, h > 1 ? w : 0, w > 1 ? 1 : 0]);
      const out = zeros(shape.slice(3 - Math.max(a.shape.length, b.shape.length)));
      let o = 0;
      for (let c = 0; c < shape[0]; c++)
        for (let y = 0; y < shape[1]; y++)
          for (let x = 0; x < shape[2]; x++)
            out.data[o++] = f(
              a.data[c * sa[0] + y * sa[1] + x * sa[2]],
              b.data[c * sb[0] + y * sb[1] + x * sb[2]],
            );
      return out;
    };
  }

  /** Stack along the channels: a U-Net's skip. */
  function cat(op, inputs) {
    const [, ...sides] = inputs[0].shape;
    const fits = inputs.every(({ shape }) => String(shape.slice(1)) === String(sides));
    if (!fits) throw misfit(op, inputs);
    const out = zeros([inputs.reduce((n, { shape }) => n + shape[0], 0), ...sides]);
    let o = 0;
    for (const { data } of inputs) {
      out.data.set(data, o);
      o += data.length;
    }
    return out;
  }

  /** The same numbers in another shape; a new side is a product of old ones. */
  function view(op, [{ data, shape }]) {
    return { data, shape: op.attributes.groups.map((axes) => size(axes.map((a) => shape[a]))) };
  }

  const KINDS = {
    conv2d,
    conv_transpose2d: convTranspose2d,
    linear,
    scale_shift: scaleShift,
    relu,
    prelu,
    leaky_relu: (op, [x]) => map(x, (v) => (v < 0 ? op.attributes.slope * v : v)),
    elu: (op, [x]) => map(x, (v) => (v < 0 ? op.attributes.alpha * Math.expm1(v) : v)),
    clamp,
    sigmoid: (op, [x]) => map(x, (v) => 1 / (1 + Math.exp(-v))),
    tanh: (op, [x]) => map(x, Math.tanh),
    silu: (op, [x]) => map(x, (v) => v / (1 + Math.exp(-v))),
    softmax,
    max_pool2d: maxPool2d,
    avg_pool2d: avgPool2d,
    adaptive_avg_pool2d: adaptiveAvgPool2d,
    mean,
    upsample_nearest: upsampleNearest,
    upsample_bilinear: upsampleBilinear,
    add,
    sub: combine((p, q) => p - q),
    rsub: combine((p, q) => q - p), // 1 − x is written in this order
    mul: combine((p, q) => p * q),
    div: combine((p, q) => p / q),
    cat,
    slice,
    pad,
    view,
    constant: (op) => map(op.weights.value, (v) => v), // a copy: a worker gives its results away
  };

  // --- Small things -----------------------------------------------------------------------------

  function size(shape) {
    return shape.reduce((product, n) => product * n, 1);
  }

  function zeros(shape) {
    return { data: new Float32Array(size(shape)), shape };
  }

  /** [H, W] → [1, H, W], and so on: ones in front, as in PyTorch's broadcasting. */
  function threeSides(shape) {
    return [...Array(3 - shape.length).fill(1), ...shape];
  }

  function outSize(side, reach, stride, op) {
    if (side < reach) {
      const where = op.module || op.op;
      throw new Error(`The image is too small: ${where} needs ${reach} pixels, has ${side}.`);
    }
    return Math.floor((side - reach) / stride) + 1;
  }

  function misfit(op, inputs) {
    const shapes = inputs.map(({ shape }) => shape.join("×")).join(" and ");
    return new Error(
      `${op.name} cannot join ${shapes}. The network was exported for another input size, ` +
        "and it does not run on every size.",
    );
  }

  /** Let the page paint and react. A message arrives sooner than a timer, which waits 4 ms. */
  function nextTask() {
    return new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
  }

  return { load };
}

export const load = makeEngine().load;
