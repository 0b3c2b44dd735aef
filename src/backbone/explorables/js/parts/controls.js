/**
 * Controls: real form elements with a label. Each has `.element`, `.value`, and `.set(value)`,
 * which changes it without telling its listener.
 */
import { h, newId } from "./dom.js";

/** A number between two bounds; `format` gives the text beside it. */
export function slider({ label, min, max, step = 1, value, format = String, onInput }) {
  const id = newId();
  const input = h("input", { type: "range", id, min, max, step, value });
  const output = h("output", { for: id });
  const show = () => {
    const text = format(Number(input.value));
    output.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  input.addEventListener("input", () => {
    show();
    onInput?.(Number(input.value));
  });
  show();
  const element = h("div", { class: "x-control x-slider" }, h("label", { for: id }, label), input, output);
  return {
    element,
    input,
    get value() {
      return Number(input.value);
    },
    set(next) {
      input.value = next;
      show();
    },
  };
}

/** One of a few: a row of buttons that are radio buttons underneath. */
export function choice({ label, options, value, onChange }) {
  const name = newId();
  const inputs = options.map(([key]) =>
    h("input", {
      type: "radio", name, value: key, checked: key === value,
      onchange: () => onChange?.(key),
    }),
  );
  const labels = options.map(([, text], i) => h("label", {}, inputs[i], h("span", {}, text)));
  const element = h("fieldset", { class: "x-control x-choice" },
    h("legend", {}, label), h("div", { class: "x-segments" }, labels));
  return {
    element,
    inputs,
    get value() {
      return options[inputs.findIndex((input) => input.checked)]?.[0];
    },
    set(next) {
      inputs.forEach((input, i) => (input.checked = options[i][0] === next));
    },
  };
}

/** One of many. */
export function select({ label, options, value, onChange }) {
  const id = newId();
  const input = h("select", { id, onchange: () => onChange?.(options[input.selectedIndex][0]) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  const element = h("div", { class: "x-control x-select" }, h("label", { for: id }, label), input);
  return {
    element,
    input,
    get value() {
      return options[input.selectedIndex][0];
    },
    set(next) {
      input.selectedIndex = options.findIndex(([key]) => key === next);
    },
  };
}

/** On or off. `skip: true` makes it orange: it switches something that skips. */
export function toggle({ label, value = false, onChange, skip = false }) {
  const input = h("input", {
    type: "checkbox", role: "switch", checked: value,
    onchange: () => onChange?.(input.checked),
  });
  const element = h("label", { class: skip ? "x-control x-toggle x-skip" : "x-control x-toggle" },
    input, h("span", {}, label));
  return {
    element,
    input,
    get value() {
      return input.checked;
    },
    set(next) {
      input.checked = next;
    },
  };
}

/** Something to do. */
export function button({ label, onClick, primary = false }) {
  const element = h("button", {
    type: "button", class: primary ? "x-button x-primary" : "x-button", onclick: onClick,
  }, label);
  return {
    element,
    set(text) {
      element.textContent = text;
    },
  };
}

/** Controls, or any elements, side by side as far as there is room. */
export function row(...items) {
  return h("div", { class: "x-row" }, items.flat().map((item) => item?.element ?? item));
}
