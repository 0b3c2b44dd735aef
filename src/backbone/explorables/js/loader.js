/**
 * Brings saved figures to life on a page without a kernel.
 *
 * Jupyter saves the state of its widgets in the notebook, and the page carries it. This script
 * plays the two parts that are missing: anywidget's, which shows a view, and the kernel's, which
 * holds the state. Networks come from files beside this script, when their figure comes near.
 */
import { show } from "./parts/figure.js";
import { whenVisible } from "./parts/slow.js";

const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
const here = document.currentScript?.src || location.href;

/** Show every figure of the page; `views` are the ones this script knows, by name. */
export function bringToLife(views) {
  const start = () => showAll(views);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}

function showAll(views) {
  const saved = JSON.parse(document.querySelector(STATE)?.textContent ?? "{}").state ?? {};
  const models = {};
  for (const place of document.querySelectorAll(VIEW)) {
    const id = JSON.parse(place.textContent).model_id;
    const view = views[saved[id]?.state?.explorable];
    if (!view) continue;
    const model = (models[id] ??= makeModel(decode(saved[id])));
    const box = document.createElement("div");
    place.after(box);
    try {
      show(view, model, box);
    } catch (error) {
      console.error(error);
    }
    if (model.get("network") && !model.get("program")) {
      whenVisible(box).then(() => bringNetwork(model));
    }
  }
}

/** The state of one widget, with its bytes in place. */
function decode({ state, buffers = [] }) {
  const whole = structuredClone(state);
  for (const { path, data } of buffers) {
    const bytes = fromBase64(data);
    const parent = path.slice(0, -1).reduce((inner, key) => inner[key], whole);
    parent[path.at(-1)] = new DataView(bytes.buffer);
  }
  return whole;
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** What anywidget gives a view, without a kernel behind it. */
function makeModel(state) {
  const listeners = {};
  const tell = (event) => [...(listeners[event] ?? [])].forEach((listener) => listener());
  return {
    alone: true, // no kernel: nothing leaves the page
    get: (key) => state[key],
    set(key, value) {
      if (state[key] === value) return;
      state[key] = value;
      tell(`change:${key}`);
      tell("change");
    },
    save_changes() {},
    send() {},
    on(event, listener) {
      (listeners[event] ??= []).push(listener);
    },
    off(event, listener) {
      listeners[event] = (listeners[event] ?? []).filter((other) => other !== listener);
    },
  };
}

/** Fetch program and weights. A script, because a page from a folder may not read other files. */
function bringNetwork(model) {
  const name = model.get("network");
  const networks = (globalThis.backboneNetworks ??= {});
  const deliver = () => {
    model.set("program", networks[name].program);
    model.set("weights", new DataView(fromBase64(networks[name].weights).buffer));
  };
  if (networks[name]) return deliver();
  const script = document.createElement("script");
  script.src = new URL(`networks/${model.get("network_file") ?? name}.js`, here);
  script.onload = deliver;
  document.head.append(script);
}
