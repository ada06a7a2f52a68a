/** The sessions of a page as a table whose rows move on with their events. */

import { fill, h } from "../page/elements.js";
import { ago, count, number, percent, when } from "../page/formats.js";
import { row, scroller, table } from "../page/table.js";

const COLUMNS = [
  { name: "Session" },
  { name: "Model" },
  { name: "Last observation" },
  { name: "Steps", kind: "number" },
  { name: "Error, recent", kind: "number" },
  { name: "Inside 80 %", kind: "number" },
  { name: "State" },
  { name: "Last commit" },
];
const CAPTION = "Error: mean absolute error over that of repeating the last value, over about the last 50 steps; below 1 is better.";

export class SessionTable {
  #table = table(CAPTION, COLUMNS, []);
  #rows = new Map();
  element = h("div", { class: "panel" }, scroller("Sessions, table", this.#table));

  get size() {
    return this.#rows.size;
  }

  get isEmpty() {
    return this.#rows.size === 0;
  }

  /** Show these sessions. Rows that were there are kept, so that whoever stands in one stays there. */
  update(sessions) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const session of sessions) {
      const kept = before.get(session.session);
      const entry = { session, element: kept?.element ?? row(COLUMNS, cells(session)) };
      if (kept) redraw(entry);
      this.#rows.set(session.session, entry);
    }
    const body = this.#table.tBodies[0];
    const elements = [...this.#rows.values()].map(({ element }) => element);
    if (elements.length !== body.rows.length || elements.some((element, index) => element !== body.rows[index])) {
      reorder(body, elements);
    }
  }

  /** Move a row on with an event. */
  take({ type, data }) {
    const entry = this.#rows.get(data.session);
    if (!entry || type !== "observation" || data.step < entry.session.step) return;
    const last = data.observed.timestamp;
    entry.session = { ...entry.session, step: data.step, last, updated_at: new Date().toISOString() };
    redraw(entry);
  }
}

/** Replacing the body's content would take the focus away from a link in it. */
function reorder(body, elements) {
  const focused = document.activeElement;
  body.replaceChildren(...elements);
  if (body.contains(focused)) focused.focus();
}

function redraw({ session, element }) {
  cells(session).forEach((cell, index) => {
    if (index > 0) fill(element.cells[index], cell);
  });
}

function cells(session) {
  const { recent } = session.scores;
  return [
    h("a", { href: `#/sessions/${session.session}`, class: "id" }, session.session),
    session.model,
    session.step === 0 ? "none" : when({ timestamp: session.last, step: session.step }),
    count(session.step),
    number(recent?.mase),
    percent(recent?.coverage["80"]),
    flags(session),
    ago(session.updated_at),
  ];
}

function flags(session) {
  if (session.drift.detected) return h("span", { class: "flag alarm" }, "drift");
  if (session.warnings.length) return h("span", { class: "flag plain" }, session.warnings[0].type);
  return session.warmed_up ? "" : h("span", { class: "flag plain" }, "warming up");
}
