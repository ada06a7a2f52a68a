/** Asks for the API key that the service wants. */

import { storeKey, storedKey } from "../api/key.js";
import { field } from "./dialog.js";
import { h } from "./elements.js";

/** @param {() => void} entered */
export function keyForm(entered) {
  const input = h("input", { name: "key", type: "password", required: true, autocomplete: "off", size: 40 });
  const submit = (event) => {
    event.preventDefault();
    storeKey(input.value.trim());
    entered();
  };
  const refused = storedKey() ? "The service does not know this key." : "This service asks for a key.";
  queueMicrotask(() => input.focus());
  return h(
    "section",
    { class: "panel empty prose", id: "key-form" },
    h("h1", { tabindex: -1 }, "API key"),
    h("p", { role: "alert" }, `${refused} Whoever runs it can give you one. It is kept in this tab until it is closed.`),
    h("form", { class: "bar", onsubmit: submit }, field("Key", input), h("button", { class: "primary" }, "Use this key")),
    h("p", {}, h("a", { href: "/problems/unauthenticated", target: "_blank" }, "What this means and what to do")),
  );
}
