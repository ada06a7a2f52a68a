/** What is said beside the view: results of actions, and the same to screen readers. */

import { fill, h } from "./elements.js";

const SHOWN_MS = 8000;

/** Say something to screen readers only. */
export function announce(text) {
  document.getElementById("announcements").textContent = text;
}

/** Say that something was done; it goes away by itself. */
export function notify(text) {
  announce(text);
  const close = h("button", { type: "button", class: "quiet", onclick: () => notice.remove() }, "Dismiss");
  const notice = h("div", { class: "notice" }, h("p", {}, text), close);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** What went wrong, where to read about it, and a way to try again. */
export function problemBox(error, retry = null) {
  const link = error.page && h("a", { href: error.page, target: "_blank" }, "What this means and what to do");
  const again = retry && h("button", { type: "button", onclick: retry }, "Try again");
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", {}, h("strong", {}, error.title ?? "Something went wrong")),
    h("p", {}, error.message),
    error.errors?.length ? h("ul", {}, error.errors.map(fault)) : null,
    error.reasons?.length ? h("ul", {}, error.reasons.map((reason) => h("li", {}, reason))) : null,
    link || again ? h("p", { class: "actions" }, again, link) : null,
  );
}

function fault({ pointer, parameter, detail }) {
  return h("li", {}, h("code", {}, pointer ?? parameter ?? "the request"), ` ${detail}`);
}

/** Show a failure in an element, where it can be seen, or nothing. */
export function showProblem(element, error, retry = null) {
  fill(element, error ? problemBox(error, retry) : null);
  if (error) element.scrollIntoView({ block: "nearest" });
}
