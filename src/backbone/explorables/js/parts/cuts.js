/** Switches for connections that can be cut. */
import { choice, toggle } from "./controls.js";

/**
 * One switch for each connection in the model's `cut`, and a choice that sets all of them.
 *
 * @param names     of the connections, in order
 * @param labels    what the switches are called
 * @param words     { label, whole, none } of the choice
 * @param onChange  told the names that are cut, whoever cut them
 * @returns { switches, all, show, close }: elements; `show()` brings them up to date for the first time
 */
export function cutSwitches({ model, names, labels, words, onChange }) {
  const gone = () => model.get("cut");
  const cut = (list) => {
    model.set("cut", list);
    model.save_changes();
  };
  const toggles = names.map((name, i) =>
    toggle({
      label: labels[i], value: true, skip: true,
      onChange: (on) => cut(names.filter((other) => (other === name ? !on : gone().includes(other)))),
    }));
  const all = choice({
    label: words.label, options: [["whole", words.whole], ["none", words.none]],
    onChange: (key) => cut(key === "whole" ? [] : names),
  });
  const show = () => {
    names.forEach((name, i) => toggles[i].set(!gone().includes(name)));
    all.set(gone().length === 0 ? "whole" : gone().length === names.length ? "none" : null);
    onChange(gone());
  };
  model.on("change:cut", show);
  return {
    switches: toggles.map(({ element }) => element), all: all.element, show,
    close: () => model.off("change:cut", show),
  };
}
