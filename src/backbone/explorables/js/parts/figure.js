/** The frame around every figure: its root, title, hint, messages, and its words. */
import { h } from "./dom.js";

/** Show a view of a model in an element; returns what takes it away again. */
export function show(view, model, el) {
  const asked = model.get("language") || document.documentElement.lang || "en";
  const t = speaker(view.words, asked.startsWith("zh") ? "zh" : "en");
  const made = frame(view, t);
  el.append(made.root);
  let clean;
  try {
    clean = view.render({ model, el, t, figure: made });
  } catch (error) {
    made.problem(error.message);
    throw error;
  }
  return () => {
    clean?.();
    made.root.remove();
  };
}

/**
 * A function that gives words of one language, of those in { en: {…}, zh: {…} }; {name} in them is
 * filled from `values`. It has that language as `t.language`.
 */
export function speaker(words, language) {
  const own = words[language] ?? Object.values(words)[0]; // a page may carry only its own language
  const t = (key, values = {}) =>
    (own[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  return Object.assign(t, { language });
}

function frame(view, t) {
  const body = h("div", { class: "x-body" });
  const problem = h("p", { class: "x-problem", role: "alert", hidden: true });
  const said = h("p", { class: "x-said", role: "status" });
  const root = h("div",
    {
      class: "explorable", lang: t.language, role: "group", "aria-label": t("title"),
      dataset: { explorable: view.name, ready: "false" },
    },
    h("p", { class: "x-title" }, t("title")), body, problem, said,
    t("hint") !== "hint" && h("p", { class: "x-hint" }, t("hint")));
  return {
    root,
    add: (...nodes) => body.append(...nodes.flat().filter(Boolean).map((node) => node.element ?? node)),
    say(text) {
      if (said.textContent !== text) said.textContent = text;
    },
    problem(text) {
      problem.textContent = text;
      problem.hidden = !text;
    },
    ready() {
      root.dataset.ready = "true";
    },
  };
}
