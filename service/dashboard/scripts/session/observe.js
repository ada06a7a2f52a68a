/** The form that posts the next observation. */

import { api, newKey } from "../api/client.js";
import { check, field } from "../page/dialog.js";
import { fill, h } from "../page/elements.js";
import { number, rhythm } from "../page/formats.js";
import { notify, showProblem } from "../page/notices.js";

export class ObserveForm {
  #series;
  #at = h("input", { name: "at", autocomplete: "off", required: true, size: 22 });
  #value = h("input", { name: "value", type: "number", step: "any", autocomplete: "off", required: true, size: 12 });
  #missing = h("input", { name: "missing", type: "checkbox", onchange: () => this.#allow() });
  #button = h("button", { class: "primary" }, "Post observation");
  #said = h("div");
  #suggested = null;
  /** Sent with each try of the same observation, so that it counts once. */
  #key = newKey();

  constructor(series) {
    this.#series = series;
    const counted = series.session.freq === null;
    const hint = `The series moves on by one step: ${rhythm(series.session)}.`;
    this.element = h(
      "section",
      { class: "panel", "aria-labelledby": "observe" },
      h("div", { class: "panel-head" }, h("h2", { id: "observe" }, "Post an observation"), h("p", {}, hint)),
      h(
        "form",
        { class: "bar", onsubmit: (event) => this.#submit(event), oninput: () => this.#change() },
        field(counted ? "Step" : "Time", this.#at),
        field("Value", this.#value),
        check("Missing", this.#missing),
        this.#button,
      ),
      this.#said,
    );
    this.update();
  }

  /** Suggest the next time, unless another one was typed. */
  update() {
    const { session } = this.#series;
    const next = session.freq === null ? String(session.step + 1) : (session.next ?? "");
    if (this.#at.value === "" || this.#at.value === this.#suggested) this.#at.value = next;
    this.#suggested = next;
  }

  #allow() {
    this.#value.disabled = this.#missing.checked;
    this.#value.required = !this.#missing.checked;
  }

  #change() {
    this.#key = newKey();
  }

  #observation() {
    const value = this.#missing.checked ? null : this.#value.valueAsNumber;
    const at = this.#at.value.trim();
    return this.#series.session.freq === null ? { step: Number(at), value } : { timestamp: at, value };
  }

  async #submit(event) {
    event.preventDefault();
    this.#button.disabled = true;
    fill(this.#said);
    try {
      const advance = await api.observe(this.#series.session, this.#observation(), this.#key);
      this.#done(advance);
    } catch (error) {
      showProblem(this.#said, error);
    } finally {
      this.#button.disabled = false;
    }
  }

  #done(advance) {
    const { forecast } = advance;
    const next = forecast ? ` Next: ${number(forecast.value)}.` : "";
    notify(`Step ${advance.step} of ${advance.session} is folded.${next}`);
    this.#key = newKey();
    this.#value.value = "";
    this.#missing.checked = false;
    this.#allow();
    this.#suggested = this.#at.value;
    this.#series.advance(advance);
    this.update();
    this.#value.focus();
  }
}
