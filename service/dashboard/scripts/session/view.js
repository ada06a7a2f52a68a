/** The page of one session. */

import { CoverageChart } from "../charts/coverage.js";
import { FanChart } from "../charts/fan.js";
import { ResidualChart } from "../charts/residuals.js";
import { ReplayBar } from "../demo/bar.js";
import { fill, h } from "../page/elements.js";
import { rhythm, when } from "../page/formats.js";
import { problemBox } from "../page/notices.js";
import { load } from "../page/states.js";
import { coalesced } from "../page/timing.js";
import { firstCorrectable, openCorrection } from "./correct.js";
import { ObserveForm } from "./observe.js";
import { openReset } from "./reset.js";
import { Series } from "./series.js";
import { Settings } from "./settings.js";
import { Summary } from "./summary.js";

const RETRY_MS = 2000;

/** @param {{id: string, live: Live, signal: AbortSignal}} context */
export function sessionView({ id, live, signal }) {
  const series = new Series(id, signal);
  const body = h("div");
  const element = h("div", { class: "stack" }, body);
  const read = () => load(body, `session ${id}`, () => series.read(), () => show(), signal);
  let parts = null;

  function show() {
    parts ??= new Parts(series, signal);
    fill(body, parts.element);
    parts.update();
  }

  live.addEventListener("event", ({ detail }) => take(detail), { signal });
  live.addEventListener("lost", () => again(), { signal });
  series.addEventListener("change", () => parts?.update(), { signal });
  series.addEventListener("failure", ({ detail }) => fail(detail), { signal });

  function take({ type, data }) {
    if (data.session !== id) return;
    if (type === "observation") series.advance(data);
    else again();
  }

  /** Where the session was found; the view that says why it was not has a button for another try. */
  function again() {
    if (parts || series.isReading) series.refresh();
    else read();
  }

  const soon = coalesced(again, RETRY_MS, signal);

  /** What is shown stays while another try may succeed. */
  function fail(error) {
    if (error.needsKey) return;
    if (error.retryable) {
      soon();
      return;
    }
    parts = null;
    fill(body, problemBox(error, read));
  }

  live.follow(`session=${encodeURIComponent(id)}`);
  read();
  return { element, title: id };
}

class Parts {
  #series;
  #warnings = h("div", { class: "stack" });
  #correct = h("button", { type: "button", onclick: () => openCorrection(this.#series) }, "Correct\u2026");
  #reset = h("button", { type: "button", class: "danger", onclick: () => openReset(this.#series) }, "Reset\u2026");
  #lead = h("p");
  #parts;

  constructor(series, signal) {
    this.#series = series;
    const correct = (record) => {
      if (record.step < firstCorrectable(series)) return "";
      return correctButton(record, () => openCorrection(series, record));
    };
    const summary = new Summary();
    const fan = new FanChart(series, { action: correct, signal });
    const observe = new ObserveForm(series);
    const residuals = new ResidualChart(series, { signal });
    const coverage = new CoverageChart(series, { signal });
    const settings = new Settings();
    this.#parts = [summary, fan, observe, residuals, coverage, settings];
    this.element = h(
      "div",
      { class: "stack" },
      this.#heading(),
      new ReplayBar(series, signal).element,
      this.#warnings,
      summary.element,
      fan.element,
      observe.element,
      h("div", { class: "pair" }, residuals.element, coverage.element),
      settings.element,
    );
  }

  update() {
    const { session } = this.#series;
    this.#correct.disabled = firstCorrectable(this.#series) > session.step;
    this.#reset.disabled = session.step === 0;
    fill(this.#lead, lead(session));
    const said = notes(session);
    this.#warnings.hidden = said.length === 0;
    fill(this.#warnings, said);
    for (const part of this.#parts) part.update(this.#series);
  }

  #heading() {
    return h(
      "div",
      { class: "heading" },
      h(
        "div",
        {},
        h("p", { class: "crumb" }, h("a", { href: "#/sessions" }, "Sessions")),
        h("h1", { tabindex: -1 }, this.#series.session.session),
        this.#lead,
      ),
      h("div", { class: "actions" }, this.#correct, this.#reset),
    );
  }
}

function correctButton(record, onclick) {
  return h("button", { type: "button", class: "quiet", "aria-label": `Correct ${when(record)}`, onclick }, "Correct");
}

function lead(session) {
  return [h("a", { href: `#/models/${session.model}` }, session.model), `, ${rhythm(session)}`];
}

function notes(session) {
  const drift = session.drift.detected ? [{ type: "drift", detail: `errors have changed since ${session.drift.since}` }] : [];
  return [...drift, ...session.warnings].map(({ type, detail }) =>
    h("p", { class: "panel" }, h("span", { class: type === "drift" ? "flag alarm" : "flag plain" }, type), ` ${detail}`),
  );
}
