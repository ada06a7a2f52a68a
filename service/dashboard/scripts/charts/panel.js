/** A panel that shows the same numbers as a chart or as a table. */

import { fill, h, uniqueId } from "../page/elements.js";
import { scroller } from "../page/table.js";

export class Panel {
  #body = h("div");
  #table = null;
  #chart;
  #makeTable;
  #title;

  /**
   * @param {string} title
   * @param {Node} note text beside the title
   * @param {Node[]} legend
   * @param {Node} chart
   * @param {() => Node} makeTable the numbers as they are now
   */
  constructor({ title, note = null, legend = [], chart, makeTable }) {
    const heading = uniqueId("panel");
    this.#title = title;
    this.#chart = [legend.length ? h("ul", { class: "legend", "aria-label": "Legend" }, legend) : null, chart];
    this.#makeTable = makeTable;
    const [asChart, asTable] = ["Chart", "Table"].map((name) =>
      h("button", { type: "button", "aria-pressed": String(name === "Chart"), onclick: () => choose(name) }, name),
    );
    const choose = (name) => {
      asChart.setAttribute("aria-pressed", String(name === "Chart"));
      asTable.setAttribute("aria-pressed", String(name === "Table"));
      this.#show(name === "Table");
    };
    this.element = h(
      "section",
      { class: "panel", "aria-labelledby": heading },
      h(
        "div",
        { class: "panel-head" },
        h("div", { class: "panel-title" }, h("h2", { id: heading }, title), note),
        h("div", { class: "segments", role: "group", "aria-label": `${title}: chart or table` }, asChart, asTable),
      ),
      this.#body,
    );
    this.#show(false);
  }

  /** The numbers changed. */
  refresh() {
    if (!this.#table) return;
    const focused = this.#table.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    fill(this.#table, this.#makeTable());
    if (focused) this.#table.querySelector(`[aria-label="${focused}"]`)?.focus();
  }

  #show(asTable) {
    this.#table = asTable ? scroller(`${this.#title}, table`, this.#makeTable(), true) : null;
    fill(this.#body, this.#table ?? this.#chart);
  }
}

/** One line of a legend. */
export function legendItem(kind, text) {
  return h("li", {}, h("span", { class: `key key-${kind}`, "aria-hidden": "true" }), text);
}
