/** Data tables. */

import { h } from "./elements.js";

/**
 * @param {string} caption
 * @param {{name: string, kind?: string, unseen?: boolean}[]} columns the first one names the rows
 * @param {Array<Array>} rows cells, as text or nodes
 */
export function table(caption, columns, rows, properties = {}) {
  const heads = columns.map(({ name, kind, unseen }) =>
    h("th", { scope: "col", class: kind }, unseen ? h("span", { class: "unseen" }, name) : name),
  );
  return h(
    "table",
    properties,
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads)),
    h("tbody", {}, rows.map((cells) => row(columns, cells))),
  );
}

export function row(columns, cells) {
  return h(
    "tr",
    {},
    cells.map((cell, index) =>
      index === 0 ? h("th", { scope: "row", class: columns[0].kind }, cell) : h("td", { class: columns[index].kind }, cell),
    ),
  );
}

/** Around a table that may be larger than its place; with the keyboard it is scrolled by the arrow keys. */
export function scroller(label, content, tall = false) {
  return h("div", { class: tall ? "scroller tall" : "scroller", role: "region", "aria-label": label, tabindex: 0 }, content);
}

/** Name and value pairs. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
