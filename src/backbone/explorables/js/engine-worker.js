/**
 * The engine beside the page instead of in its way.
 *
 *     const net = await startEngine(program, weights);
 *     const { output, maps } = await net.run(pixels, { keep: "all" });
 *
 * A worker is a second thread. Its program usually comes from a file, but a page opened from a
 * folder may not start one from there, and inside a notebook there is no file; so the worker is
 * made from the text of makeEngine. Where even that is forbidden the engine runs on the page, in
 * slices short enough that nobody notices.
 */
import { makeEngine } from "./engine.js";

/**
 * @param program  the description, as an object or as JSON text
 * @param weights  its weights: an ArrayBuffer, or a view of one; copied, not taken away
 * @param options  worker: false runs on the page; patience: milliseconds to wait for the worker
 * @returns { run(input, options), where: "worker" or "page", close(), program, operation(name) };
 *          as in engine.js, but `run` gives a promise
 */
export async function startEngine(program, weights, { worker = true, patience = 3000 } = {}) {
  const net = makeEngine().load(program, weights); // finds mistakes early, and is the fallback
  if (worker) {
    try {
      return { ...net, ...(await inWorker(net.program, weights, patience)) };
    } catch {
      // Not allowed here. The page can do it as well.
    }
  }
  return { ...net, where: "page", run: net.runInSlices, close() {} };
}

async function inWorker(program, weights, patience) {
  const text = `(${serve})(${makeEngine});`;
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const thread = new Worker(address);
  const waiting = new Map(); // number of a question → what to do with its answer
  let count = 0;

  const ask = (question) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      thread.postMessage({ id: count, ...question });
    });
  const giveUp = (reason) => {
    for (const { reject } of waiting.values()) reject(new Error(reason));
    waiting.clear();
  };
  thread.onmessage = ({ data: { id, result, problem } }) => {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (problem === undefined) resolve?.(result);
    else reject?.(new Error(problem));
  };
  thread.onerror = (event) => giveUp(event.message ?? "The worker failed.");

  const tooLong = setTimeout(() => giveUp("The worker does not answer."), patience);
  try {
    await ask({ program, weights });
  } catch (problem) {
    thread.terminate();
    throw problem;
  } finally {
    clearTimeout(tooLong);
    URL.revokeObjectURL(address);
  }
  return {
    where: "worker",
    run: (input, options) => ask({ input, options }),
    close() {
      thread.terminate();
      giveUp("The engine was closed.");
    },
  };
}

/** The worker's side; its text is sent, so it may use nothing from outside. */
function serve(makeEngine) {
  let net = null;
  self.onmessage = ({ data: { id, program, weights, input, options } }) => {
    try {
      if (program) {
        net = makeEngine().load(program, weights);
        self.postMessage({ id });
        return;
      }
      const result = net.run(input, options);
      // Hand the arrays over instead of copying them; several maps may share one.
      const values = [result.output, ...Object.values(result.maps)];
      self.postMessage({ id, result }, [...new Set(values.map(({ data }) => data.buffer))]);
    } catch (error) {
      self.postMessage({ id, problem: error.message });
    }
  };
}
