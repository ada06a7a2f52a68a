/** What of the sessions is listed, and in which order; kept in the address, so that it can be shared. */

import { field } from "../page/dialog.js";
import { h } from "../page/elements.js";
import { coalesced } from "../page/timing.js";
import { go } from "../page/navigation.js";

const ORDERS = [
  ["mase desc", "Worst recent error first"],
  ["updated_at", "Longest without a commit first"],
  ["updated_at desc", "Latest commit first"],
  ["session", "By name"],
];
const TYPING_MS = 250;

/** An order that there is: the one asked for, or the first. */
export function orderOf(asked) {
  return ORDERS.some(([value]) => value === asked) ? asked : ORDERS[0][0];
}

export class Filters {
  constructor({ prefix, order }) {
    const search = h("input", { type: "search", name: "prefix", value: prefix, pattern: "[A-Za-z0-9._~\\-]*", size: 24 });
    const options = ORDERS.map(([value, text]) => h("option", { value }, text));
    const sort = h("select", { name: "order", disabled: prefix !== "" }, options);
    sort.value = prefix ? "session" : order;
    const move = () => {
      if (search.checkValidity()) go("/sessions", { prefix: search.value, order }, { keepFocus: true });
    };
    search.addEventListener("input", coalesced(move, TYPING_MS, new AbortController().signal));
    sort.addEventListener("change", () => go("/sessions", { prefix: "", order: sort.value }, { keepFocus: true }));
    this.element = h(
      "form",
      { class: "bar", role: "search", "aria-label": "Sessions", onsubmit: (event) => event.preventDefault() },
      field("Name begins with", search),
      field("Order", sort, prefix ? "Searched by name" : null),
    );
  }
}
