/**
 * Training beside the page: each network in a worker, which is a thread of its own, so two train
 * at once and the page stays free. The worker is made from the text of makeTrainer, as in
 * engine-worker.js: that works on a page opened from a folder, too.
 */
import { makeTrainer } from "./trainer.js";

/**
 * @param settings  as for `train` in trainer.js
 * @param pictures  bytes, see there
 * @param labels    bytes
 * @param hear      { step(report), end(), problem(reason) }; reason is "" where pages may
 *                  not have workers, and otherwise what went wrong
 * @param patience  milliseconds to wait for a sign of life
 * @returns { stop() }; after it nothing more is heard
 */
export function trainBeside(settings, pictures, labels, hear, patience = 10000) {
  let [thread, address, waiting] = [null, "", 0];
  const stop = () => {
    clearTimeout(waiting);
    thread?.terminate();
    URL.revokeObjectURL(address);
    hear = {};
  };
  const fail = (reason) => {
    const { problem } = hear;
    stop();
    problem?.(reason);
  };
  // Whoever calls has `stop` in hand by the time anything is heard.
  waiting = setTimeout(() => fail(""), patience);
  try {
    const text = `(${serve})(${makeTrainer});`;
    address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    thread = new Worker(address);
  } catch {
    setTimeout(() => fail(""));
    return { stop };
  }
  let alive = false;
  thread.onerror = (event) => {
    event.preventDefault();
    fail(alive ? event.message : "");
  };
  thread.onmessage = ({ data: { reports, end, problem } }) => {
    alive = true;
    clearTimeout(waiting);
    if (problem) return fail(problem);
    reports?.forEach((report) => hear.step?.(report));
    if (!end) return;
    const { end: tell } = hear;
    stop();
    tell?.();
  };
  thread.postMessage({ settings, pictures, labels });
  return { stop };
}

/** The worker's side; its text is sent, so it may use nothing from outside. */
function serve(makeTrainer) {
  self.onmessage = ({ data: { settings, pictures, labels } }) => {
    try {
      self.postMessage({}); // here I am
      for (const report of makeTrainer().train(settings, pictures, labels)) {
        self.postMessage({ reports: [report] });
      }
      self.postMessage({ end: true });
    } catch (error) {
      self.postMessage({ problem: error.message });
    }
  };
}
