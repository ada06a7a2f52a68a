/** The states that every view can be in before it has something to show. */

import { fill, h } from "./elements.js";
import { problemBox } from "./notices.js";

export function loading(what) {
  return h("div", { class: "panel loading", role: "status" }, h("span", { class: "unseen" }, `Loading ${what}`));
}

/**
 * Load something into an element: it shows that it loads, then what came, or what went wrong and a way to try again.
 * What is on show already stays until there is something better.
 */
export async function load(element, what, read, show, signal) {
  if (!element.childElementCount || element.firstElementChild.matches(".problem")) fill(element, loading(what));
  element.setAttribute("aria-busy", "true");
  try {
    const found = await read();
    if (!signal.aborted) await show(found);
  } catch (error) {
    if (signal.aborted || error.needsKey) return;
    console.debug(error);
    fill(element, problemBox(error, () => load(element, what, read, show, signal)));
  } finally {
    element.removeAttribute("aria-busy");
  }
}
