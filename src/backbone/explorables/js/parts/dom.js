/** Elements in one call each: h("button", { class: "big", onclick: f }, "Press"). */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param tag         such as "div"
 * @param attributes  on… are listeners, `dataset` and `style` may be objects; true gives an empty
 *                    attribute; false, null and undefined are left out
 * @param children    elements, texts, numbers, or lists of them; false and null are left out
 */
export function h(tag, attributes, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...wanted(children));
  return element;
}

let count = 0;

/** An id that no other element of the page has. */
export const newId = () => `explorable-${++count}`;

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style" && typeof value === "object") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...wanted(children));
  return element;
}

const wanted = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
