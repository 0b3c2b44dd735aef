/**
 * Trains a small network in the page: the three-stage ResNet of backbone.cifar_resnet with option
 * A shortcuts, or its plain twin. No library; every derivative is written out.
 *
 *     const { train } = makeTrainer();
 *     for (const { step, loss, wrong, gradient } of train(settings, pictures, labels)) …
 *
 * A stack of maps is one typed array. The number of image i at pixel p of channel c is
 * maps[(c·pixels + p)·n + i], n images: what one pixel holds in all images of the batch lies side
 * by side. So a convolution meets 50 neighbours that are all multiplied by the same weight, and a
 * pixel beyond the edge is simply not visited, instead of being stored as a zero.
 *
 * A layer is { forward(x), backward(dy) }: `dy` says how the loss changes with each number that
 * forward gave. backward adds to the gradients of the layer's parameters, and returns the same for
 * each number that forward got. It may write into dy.
 *
 * Everything is inside one function, so that its text can be given to a worker
 * (trainer-worker.js).
 */
export function makeTrainer() {
  // --- Chance -----------------------------------------------------------------------------------

  /** Random numbers from a seed, the same everywhere (the generator is known as mulberry32). */
  function dice(seed) {
    let state = seed >>> 0;
    /** Evenly between 0 and 1. */
    const even = () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
    /** From the bell curve with standard deviation 1 (Box and Muller). */
    const normal = () => Math.sqrt(-2 * Math.log(1 - even())) * Math.cos(2 * Math.PI * even());
    return { even, normal };
  }

  /** The numbers 0 … count − 1 in a random order (Fisher and Yates). */
  function shuffled(count, { even }) {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(even() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  // --- Convolution ------------------------------------------------------------------------------

  /**
   * Which pixels a 3×3 kernel joins, with padding 1. Its nine weights are its taps, 0 to 8.
   *
   * @returns into: for each output pixel [tap, input pixel, tap, input pixel, …];
   *          outOf: for each input pixel [tap, output pixel, …];
   *          by: for each tap [output pixel, input pixel, …]
   */
  function joined(side, stride) {
    const small = side / stride;
    const lists = (length) => Array.from({ length }, () => []);
    const [into, outOf, by] = [lists(small * small), lists(side * side), lists(9)];
    for (let to = 0; to < small * small; to++) {
      for (let tap = 0; tap < 9; tap++) {
        const row = Math.floor(to / small) * stride + Math.floor(tap / 3) - 1;
        const column = (to % small) * stride + (tap % 3) - 1;
        if (row < 0 || row >= side || column < 0 || column >= side) continue;
        const from = row * side + column;
        into[to].push(tap, from);
        outOf[from].push(tap, to);
        by[tap].push(to, from);
      }
    }
    const packed = (all) => all.map((list) => Int32Array.from(list));
    return { into: packed(into), outOf: packed(outOf), by: packed(by) };
  }

  /** Kernels in the order in which `gather` meets them: tap, channel it sums over, channel it makes. */
  function inOrder(kernels, sums, sumStep, makes, makeStep, sorted) {
    let k = 0;
    for (let tap = 0; tap < 9; tap++) {
      for (let s = 0; s < sums; s++) {
        for (let m = 0; m < makes; m++) sorted[k++] = kernels[m * makeStep + s * sumStep + tap];
      }
    }
    return sorted;
  }

  /**
   * made[m, p, i] = Σ over links (tap, q) of p and channels s:  sorted[tap, s, m] · maps[s, q, i]
   *
   * With the links `into` it is the convolution itself, with `outOf` its way back. Nearly all time
   * is spent here. So four channels of two images are computed at once: each number that was
   * fetched is used two or four times, and the eight sums stay where the processor adds fastest.
   */
  function gather(made, makes, links, sorted, maps, sums, pixels, n) {
    const [step, row] = [pixels * n, links.length * n];
    for (let p = 0; p < links.length; p++) {
      const list = links[p];
      for (let i = 0; i < n; i += 2) {
        for (let m = 0; m < makes; m += 4) {
          let a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0;
          for (let l = 0; l < list.length; l += 2) {
            let k = list[l] * sums * makes + m;
            let x = list[l + 1] * n + i;
            for (let s = 0; s < sums; s++, k += makes, x += step) {
              const x0 = maps[x], x1 = maps[x + 1];
              const a = sorted[k], b = sorted[k + 1], c = sorted[k + 2], d = sorted[k + 3];
              a0 += a * x0; a1 += a * x1;
              b0 += b * x0; b1 += b * x1;
              c0 += c * x0; c1 += c * x1;
              d0 += d * x0; d1 += d * x1;
            }
          }
          let y = m * row + p * n + i;
          made[y] = a0; made[y + 1] = a1; y += row;
          made[y] = b0; made[y + 1] = b1; y += row;
          made[y] = c0; made[y + 1] = c1; y += row;
          made[y] = d0; made[y + 1] = d1;
        }
      }
    }
  }

  /**
   * gradient[o, c, tap] += Σ over the tap's pairs (to, from) and images i:  dy[o, to, i] · x[c, from, i]
   *
   * A weight has touched every such pair, so it answers for all of them. Four by two at once, again.
   */
  function blame(gradient, outputs, inputs, by, dy, row, x, step, n) {
    for (let o = 0; o < outputs; o += 4) {
      for (let c = 0; c < inputs; c += 2) {
        const two = c + 1 < inputs; // a picture has one channel only
        const next = two ? step : 0;
        for (let tap = 0; tap < 9; tap++) {
          const pairs = by[tap];
          let a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0;
          for (let l = 0; l < pairs.length; l += 2) {
            let y = o * row + pairs[l] * n;
            let z = c * step + pairs[l + 1] * n;
            for (const end = z + n; z < end; z++, y++) {
              const x0 = x[z], x1 = x[z + next];
              const a = dy[y], b = dy[y + row], c = dy[y + 2 * row], d = dy[y + 3 * row];
              a0 += a * x0; a1 += a * x1;
              b0 += b * x0; b1 += b * x1;
              c0 += c * x0; c1 += c * x1;
              d0 += d * x0; d1 += d * x1;
            }
          }
          [a0, b0, c0, d0].forEach((sum, r) => (gradient[((o + r) * inputs + c) * 9 + tap] += sum));
          if (!two) continue;
          [a1, b1, c1, d1].forEach((sum, r) => (gradient[((o + r) * inputs + c + 1) * 9 + tap] += sum));
        }
      }
    }
  }

  /** 3×3, padding 1, no bias. */
  class Convolution {
    constructor(net, name, inputs, outputs, side, stride = 1) {
      Object.assign(this, { n: net.batch, inputs, outputs }, joined(side, stride));
      const deviation = Math.sqrt(2 / (9 * outputs)); // He et al. 2015, as in cifar_resnet.py
      this.weight = net.parameter(`${name}.weight`, [outputs, inputs, 3, 3], ({ normal }) =>
        deviation * normal());
      this.sorted = new net.Numbers(this.weight.value.length);
      this.y = new net.Numbers(outputs * this.into.length * this.n);
      this.dx = new net.Numbers(inputs * this.outOf.length * this.n);
    }

    forward(x) {
      const { n, inputs, outputs, weight, sorted, into, outOf, y } = this;
      this.x = x;
      inOrder(weight.value, inputs, 9, outputs, 9 * inputs, sorted);
      gather(y, outputs, into, sorted, x, inputs, outOf.length, n);
      return y;
    }

    backward(dy, goOn = true) {
      const { n, inputs, outputs, weight, sorted, into, outOf, by, x, dx } = this;
      blame(weight.gradient, outputs, inputs, by, dy, into.length * n, x, outOf.length * n, n);
      if (!goOn) return null; // nobody asks how the loss changes with the picture
      inOrder(weight.value, outputs, 9 * inputs, inputs, 9, sorted);
      gather(dx, inputs, outOf, sorted, dy, outputs, into.length, n);
      return dx;
    }
  }

  // --- Batch norm and ReLU ----------------------------------------------------------------------

  /** In training mode: every channel gets mean 0 and variance 1 over the batch, then γ and β. */
  class BatchNorm {
    constructor(net, name, channels, side) {
      this.run = side * side * net.batch; // numbers in a channel: they lie side by side
      this.gamma = net.parameter(`${name}.weight`, [channels], () => 1);
      this.beta = net.parameter(`${name}.bias`, [channels], () => 0);
      this.mean = new Float64Array(channels);
      this.inverse = new Float64Array(channels); // of the standard deviation
      this.y = new net.Numbers(channels * this.run);
    }

    forward(x) {
      const { run, gamma, beta, y } = this;
      this.x = x;
      for (let c = 0, start = 0; start < y.length; c++, start += run) {
        const end = start + run;
        let mean = 0, variance = 0;
        for (let k = start; k < end; k++) mean += x[k];
        mean /= run;
        for (let k = start; k < end; k++) variance += (x[k] - mean) * (x[k] - mean);
        const inverse = 1 / Math.sqrt(variance / run + 1e-5);
        const scale = gamma.value[c] * inverse;
        const shift = beta.value[c] - mean * scale;
        for (let k = start; k < end; k++) y[k] = x[k] * scale + shift;
        this.mean[c] = mean;
        this.inverse[c] = inverse;
      }
      return y;
    }

    /**
     * Mean and variance depend on x as well. What comes out is dy without its mean and without its
     * part along the normalised x: to shift or to scale a whole channel changes nothing.
     */
    backward(dy) {
      const { run, gamma, beta, x } = this;
      for (let c = 0, start = 0; start < dy.length; c++, start += run) {
        const end = start + run, mean = this.mean[c], inverse = this.inverse[c];
        let sum = 0, along = 0;
        for (let k = start; k < end; k++) {
          sum += dy[k];
          along += dy[k] * (x[k] - mean);
        }
        along *= inverse;
        gamma.gradient[c] += along;
        beta.gradient[c] += sum;
        const scale = gamma.value[c] * inverse;
        const level = sum / run, tilt = (along * inverse) / run;
        for (let k = start; k < end; k++) dy[k] = scale * (dy[k] - level - (x[k] - mean) * tilt);
      }
      return dy;
    }
  }

  function relu(y) {
    for (let k = 0; k < y.length; k++) if (y[k] < 0) y[k] = 0;
    return y;
  }

  /** Where ReLU gave 0, a small change of its input changes nothing. */
  function reluBack(dy, y) {
    for (let k = 0; k < y.length; k++) if (y[k] <= 0) dy[k] = 0;
    return dy;
  }

  // --- The block: the one place where the two networks differ -----------------------------------

  class Block {
    constructor(net, name, inputs, outputs, side, stride) {
      const small = side / stride;
      this.conv1 = new Convolution(net, `${name}.conv1`, inputs, outputs, side, stride);
      this.bn1 = new BatchNorm(net, `${name}.bn1`, outputs, small);
      this.conv2 = new Convolution(net, `${name}.conv2`, outputs, outputs, small);
      this.bn2 = new BatchNorm(net, `${name}.bn2`, outputs, small);
      this.across = new net.Numbers(outputs * small * small * net.batch); // dy, for the shortcut
      Object.assign(this, { n: net.batch, shortcut: net.shortcut, inputs, side, stride });
    }

    forward(x) {
      this.inner = relu(this.bn1.forward(this.conv1.forward(x)));
      const y = this.bn2.forward(this.conv2.forward(this.inner));
      if (this.shortcut) this.skip(x, y, false);
      return (this.y = relu(y));
    }

    backward(dy) {
      reluBack(dy, this.y);
      this.across.set(dy);
      const inner = reluBack(this.conv2.backward(this.bn2.backward(dy)), this.inner);
      const dx = this.conv1.backward(this.bn1.backward(inner));
      if (this.shortcut) this.skip(dx, this.across, true); // an addition hands dy on as it is
      return dx;
    }

    /** Add x to y, or on the way back y to x. Option A: every `stride`-th pixel; where y has more
     * channels than x, nothing is added. */
    skip(x, y, back) {
      const { n, inputs, side, stride } = this;
      let to = 0;
      for (let top = 0; top < inputs * side; top += stride) { // a row of a map, of all maps
        for (let left = 0; left < side; left += stride) {
          let from = (top * side + left) * n;
          for (const end = from + n; from < end; from++, to++) {
            if (back) x[from] += y[to];
            else y[to] += x[from];
          }
        }
      }
    }
  }

  // --- The end: average, linear layer, cross-entropy --------------------------------------------

  /** Mean of each channel, then class scores; the number of class k and image i is y[k·n + i]. */
  class Classifier {
    constructor(net, name, channels, side) {
      const { batch: n, classes, Numbers } = net;
      Object.assign(this, { n, classes, channels, pixels: side * side });
      const start = ({ even }) => (2 * even() - 1) / Math.sqrt(channels); // as torch.nn.Linear
      this.weight = net.parameter(`${name}.weight`, [classes, channels], start);
      this.bias = net.parameter(`${name}.bias`, [classes], start);
      this.mean = new Numbers(channels * n);
      this.dmean = new Numbers(channels * n);
      this.y = new Numbers(classes * n);
      this.dx = new Numbers(channels * this.pixels * n);
    }

    forward(x) {
      const { n, classes, channels, pixels, weight, bias, mean, y } = this;
      mean.fill(0);
      for (let c = 0, k = 0; c < channels; c++) {
        for (let p = 0; p < pixels; p++) {
          for (let i = 0; i < n; i++, k++) mean[c * n + i] += x[k] / pixels;
        }
      }
      for (let k = 0; k < classes; k++) {
        for (let i = 0; i < n; i++) {
          let sum = bias.value[k];
          for (let c = 0; c < channels; c++) sum += weight.value[k * channels + c] * mean[c * n + i];
          y[k * n + i] = sum;
        }
      }
      return y;
    }

    backward(dy) {
      const { n, classes, channels, pixels, weight, bias, mean, dmean, dx } = this;
      dmean.fill(0);
      for (let k = 0; k < classes; k++) {
        for (let i = 0; i < n; i++) {
          const d = dy[k * n + i];
          bias.gradient[k] += d;
          for (let c = 0; c < channels; c++) {
            weight.gradient[k * channels + c] += d * mean[c * n + i];
            dmean[c * n + i] += d * weight.value[k * channels + c];
          }
        }
      }
      for (let c = 0, k = 0; c < channels; c++) {
        for (let p = 0; p < pixels; p++) {
          for (let i = 0; i < n; i++, k++) dx[k] = dmean[c * n + i] / pixels;
        }
      }
      return dx;
    }
  }

  /**
   * Cross-entropy after softmax, mean over the batch.
   *
   * @returns { loss, wrong: images whose largest score is another class, dy }
   */
  function crossEntropy(scores, labels, classes) {
    const n = labels.length;
    const dy = scores.slice();
    let [loss, wrong] = [0, 0];
    for (let i = 0; i < n; i++) {
      let [best, total] = [0, 0];
      for (let k = 1; k < classes; k++) if (scores[k * n + i] > scores[best * n + i]) best = k;
      const top = scores[best * n + i]; // taken off everywhere, so that exp cannot overflow
      for (let k = 0; k < classes; k++) total += Math.exp(scores[k * n + i] - top);
      for (let k = 0; k < classes; k++) {
        const p = Math.exp(scores[k * n + i] - top) / total;
        dy[k * n + i] = (p - (k === labels[i] ? 1 : 0)) / n;
      }
      loss += (Math.log(total) + top - scores[labels[i] * n + i]) / n;
      if (best !== labels[i]) wrong++;
    }
    return { loss, wrong, dy };
  }

  // --- The network ------------------------------------------------------------------------------

  /**
   * A 3×3 convolution, three stages of (depth − 2)/6 blocks, average, linear layer.
   *
   *     const { loss, wrong, dy } = crossEntropy(net.forward(x), labels, classes);
   *     net.backward(dy);
   *     net.learn(0.1, 0.9, 1e-4);
   */
  class Network {
    /**
     * @param settings  depth: 6·blocks + 2; shortcut: true for the residual network, false for the
     *                  plain one; width: channels of the first stage, 4, 8, …; side: of the square
     *                  pictures, 4, 8, …; classes; batch: images at a time, an even number; seed: of
     *                  the first weights
     * @param Numbers   the kind of array: Float32Array, or Float64Array to check derivatives
     */
    constructor(settings, Numbers = Float32Array) {
      const { depth, shortcut, width, side, classes, batch, seed } = settings;
      Object.assign(this, { shortcut, classes, batch, Numbers });
      this.chance = dice(seed); // two networks that differ in `shortcut` alone start out equal
      this.parameters = []; // named as in PyTorch, and in its order

      this.conv1 = new Convolution(this, "conv1", 1, width, side);
      this.bn1 = new BatchNorm(this, "bn1", width, side);
      this.blocks = [];
      let [inputs, size] = [width, side];
      for (const [stage, outputs] of [width, 2 * width, 4 * width].entries()) {
        for (let b = 0; b < (depth - 2) / 6; b++) {
          const stride = stage > 0 && b === 0 ? 2 : 1;
          const name = `layer${stage + 1}.${b}`;
          this.blocks.push(new Block(this, name, inputs, outputs, size, stride));
          size /= stride;
          inputs = outputs;
        }
      }
      this.fc = new Classifier(this, "fc", inputs, size);
    }

    /** Called by the layers: numbers to learn, where they start, their gradient, their momentum. */
    parameter(name, shape, start) {
      const length = shape.reduce((a, b) => a * b);
      const value = new this.Numbers(length).map(() => start(this.chance));
      const [gradient, speed] = [new this.Numbers(length), new this.Numbers(length)];
      const made = { name, shape, value, gradient, speed };
      this.parameters.push(made);
      return made;
    }

    /** Class scores of a batch; x[p·n + i] is pixel p of image i. */
    forward(x) {
      this.first = relu(this.bn1.forward(this.conv1.forward(x)));
      return this.fc.forward(this.blocks.reduce((maps, block) => block.forward(maps), this.first));
    }

    /** Gradients of all parameters; `dy` as crossEntropy gives it. */
    backward(dy) {
      for (const { gradient } of this.parameters) gradient.fill(0);
      const dfirst = this.blocks.reduceRight((d, block) => block.backward(d), this.fc.backward(dy));
      this.conv1.backward(this.bn1.backward(reluBack(dfirst, this.first)), false);
    }

    /** One step of gradient descent with momentum and weight decay, as torch.optim.SGD. */
    learn(rate, momentum, decay) {
      for (const { value, gradient, speed } of this.parameters) {
        for (let k = 0; k < value.length; k++) {
          speed[k] = momentum * speed[k] + gradient[k] + decay * value[k];
          value[k] -= rate * speed[k];
        }
      }
    }
  }

  // --- Training ---------------------------------------------------------------------------------

  /** The learning rate of a step: up for 30 % of the way and down again, as OneCycleLR. */
  function learningRate(step, steps, peak) {
    const top = 0.3 * steps - 1;
    const between = (from, to, part) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * part));
    if (step <= top) return between(peak / 25, peak, step / top);
    return between(peak, peak / 25e4, (step - top) / (steps - 1 - top));
  }

  /**
   * Trains a new network, and reports after every step.
   *
   * Pictures must come in whole batches: batch norm takes mean and variance from the batch, and a
   * last one of a few pictures would spoil the step (see the chapter on degradation).
   *
   * @param settings  as for `Network`, and lr, momentum, decay, epochs; levels: the value of ink
   * @param pictures  bytes, picture after picture, row after row
   * @param labels    a byte for each picture
   * @yields { step, loss, wrong, gradient }: the number of the step, from 1; of its batch the mean
   *         loss and the pictures named wrongly, before the step; the norm of the gradient at the
   *         first convolution
   */
  function* train(settings, pictures, labels) {
    const { side, classes, batch, epochs, lr, momentum, decay, levels, seed } = settings;
    const [pixels, count] = [side * side, labels.length];
    if (count % batch) throw new Error(`${count} pictures do not fill batches of ${batch}.`);
    const net = new Network(settings);
    const chance = dice(~seed); // not the numbers that the weights were made of
    const steps = (epochs * count) / batch;
    const [x, y] = [new Float32Array(pixels * batch), new Uint8Array(batch)];
    let order;
    for (let step = 0; step < steps; step++) {
      const start = (step * batch) % count;
      if (start === 0) order = shuffled(count, chance);
      for (let i = 0; i < batch; i++) {
        const picture = order[start + i];
        for (let p = 0; p < pixels; p++) x[p * batch + i] = pictures[picture * pixels + p] / levels;
        y[i] = labels[picture];
      }
      const { loss, wrong, dy } = crossEntropy(net.forward(x), y, classes);
      net.backward(dy);
      const gradient = Math.hypot(...net.parameters[0].gradient);
      net.learn(learningRate(step, steps, lr), momentum, decay);
      yield { step: step + 1, loss, wrong, gradient };
    }
  }

  return { dice, shuffled, Network, crossEntropy, learningRate, train };
}
