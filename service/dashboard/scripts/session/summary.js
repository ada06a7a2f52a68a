/** The figures that say where a session stands and how well it is forecast. */

import { h, fill } from "../page/elements.js";
import { count, interval, number, percent } from "../page/formats.js";
import { bounds } from "../charts/levels.js";

export class Summary {
  element = h("dl", { class: "tiles", "aria-label": "Where the session stands" });

  update({ session, observations, fan }) {
    const { all, recent } = session.scores;
    const last = observations.at(-1);
    const next = fan[0];
    fill(this.element, [
      tile("Observed", number(last?.value), session.last ?? `${count(session.step)} steps`),
      tile("Next", number(next?.value), nextNote(session, next)),
      tile("Steps folded", count(session.step), session.warmed_up === false ? "warming up" : `of ${session.model}`),
      tile("Absolute error", number(recent?.mae), `recent; ${number(all?.mae)} overall`),
      tile("Relative error", number(recent?.mase), "repeating the last value: 1"),
      ...[80, 95].map((level) => tile(`Inside ${level}\u00a0%`, ...shares(session.scores, level))),
    ]);
  }
}

function tile(name, value, note) {
  return h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value), h("dd", {}, note));
}

function shares({ all, recent }, level) {
  return [percent(recent?.coverage[level]), `recent; ${percent(all?.coverage[level])} overall`];
}

function nextNote(session, next) {
  if (!next) return "after a first value";
  const range = bounds(next, 80);
  return range ? `80\u00a0%: ${interval(...range)}` : (session.next ?? "");
}
