/** A checkpoint: one question, a few answers, and a word about each that is chosen. */
import { fill, h, newId } from "../parts/dom.js";

export const checkpoint = {
  name: "checkpoint",
  words: {
    en: {
      title: "Checkpoint",
      hint: "Choose an answer. You may try as often as you like.",
      right: "Right. ",
      wrong: "Not yet. ",
    },
    zh: {
      title: "想一想",
      hint: "请选择一个答案，可以反复尝试。",
      right: "正确。",
      wrong: "再想想。",
    },
  },

  render({ model, t, figure }) {
    const { language } = t;
    const { question, options } = model.get("quiz");
    const id = newId();
    const reply = h("p", { class: "x-reply", role: "status" });

    const marks = options.map(() => h("span", { class: "x-mark" }));
    const buttons = options.map(({ text }, i) =>
      h("button", { type: "button", class: "x-option", onclick: () => choose(i) },
        marks[i], h("span", {}, rich(text[language]))));

    const choose = (i) => {
      const tries = model.get("tries");
      if (!tries.includes(i)) {
        model.set("tries", [...tries, i]);
        model.save_changes();
      }
      answer(i);
    };

    const answer = (i) => {
      const { right, why } = options[i];
      reply.dataset.verdict = right ? "right" : "wrong";
      fill(reply, h("b", {}, t(right ? "right" : "wrong")), rich(why[language]));
    };

    const show = () => {
      const tries = model.get("tries");
      options.forEach(({ right }, i) => {
        const tried = tries.includes(i);
        buttons[i].dataset.verdict = tried ? (right ? "right" : "wrong") : "";
        fill(marks[i], tried && h("span", { role: "img", "aria-label": t(right ? "right" : "wrong").trim() }, right ? "✓" : "✗"));
      });
      if (tries.length) answer(tries.at(-1));
      else {
        delete reply.dataset.verdict;
        fill(reply);
      }
    };

    figure.add(
      h("p", { id, class: "x-question" }, rich(question[language])),
      h("div", { class: "x-options", role: "group", "aria-labelledby": id }, buttons), reply);
    model.on("change:tries", show);
    show();
    figure.ready();
    return () => model.off("change:tries", show);
  },
};

/** Text in which `what stands between backticks` is code. */
const rich = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
