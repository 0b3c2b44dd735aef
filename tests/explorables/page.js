// The page side of the engine's tests: runs a program, compares with what PyTorch gave.
import { load } from "./engine.js";
import { startEngine } from "./engine-worker.js";

const bytes = async (name) => (await fetch(name)).arrayBuffer();

/** Program and weights of one model. */
async function files(model) {
  return [await (await fetch(`${model}.json`)).text(), await bytes(`${model}.weights`)];
}

/** Largest difference between two maps, beside the largest number of the second. */
function compare({ data, shape }, expected) {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(data[i] - expected[i]);
    if (!(d <= difference)) difference = d; // NaN, too, is a difference
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return { shape, length: data.length, difference, largest };
}

/** Run every case of a model; `where` is "engine", "worker" or "page". */
async function check({ model, cases, where = "engine" }) {
  const sources = await files(model);
  const worker = where === "worker";
  const net = where === "engine" ? load(...sources) : await startEngine(...sources, { worker });
  const results = [];
  for (const { input, expected, maps, options } of cases) {
    const pixels = new Float32Array(await bytes(input));
    const numbers = new Float32Array(await bytes(expected));
    const ran = await net.run(pixels, options);
    const result = {};
    for (const [name, { offset, length }] of Object.entries(maps)) {
      const value = name === "output" ? ran.output : ran.maps[name];
      result[name] = compare(value, numbers.subarray(offset, offset + length));
    }
    results.push(result);
  }
  const used = net.where ?? "engine";
  net.close?.();
  return { where: used, results };
}

/** One run, as plain lists. */
async function run({ model, input, options = {} }) {
  const net = load(...(await files(model)));
  const { output, maps } = net.run(Float32Array.from(input), options);
  const plain = ({ data, shape }) => ({ data: [...data], shape });
  const plainMaps = Object.entries(maps).map(([name, value]) => [name, plain(value)]);
  return { output: plain(output), maps: Object.fromEntries(plainMaps) };
}

/** The longest time in milliseconds that the page could not react while a program ran. */
async function longestPause({ model, length, options, how }) {
  const sources = await files(model);
  const worker = how === "worker";
  const net = how === "at once" ? load(...sources) : await startEngine(...sources, { worker });
  const pixels = new Float32Array(length).fill(0.5);
  await net.run(pixels, options); // the first run is also compiled
  let [last, longest, on] = [performance.now(), 0, true];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    if (on) port2.postMessage(null);
  };
  last = performance.now();
  port2.postMessage(null);
  const start = performance.now();
  await net.run(pixels, options);
  const took = performance.now() - start;
  await new Promise((resolve) => setTimeout(resolve, 5));
  on = false;
  net.close?.();
  return { took, longest, where: net.where ?? "at once" };
}

Object.assign(window, { check, run, longestPause, load, startEngine, files });
