/** The network of a figure, ready to run. */
import { startEngine } from "../engine-worker.js";

/** The engine, once program and weights are there: on the site they come after the page. */
export async function engineOf(model) {
  const there = () => model.get("program") && model.get("weights")?.byteLength;
  if (!there()) {
    await new Promise((resolve) => {
      const look = () => {
        if (!there()) return;
        model.off("change:weights", look);
        resolve();
      };
      model.on("change:weights", look);
    });
  }
  return startEngine(model.get("program"), model.get("weights"));
}
