/** On the demo's own session: how far the replay is, and a way to pause it and to go on. */

import { fill, h } from "../page/elements.js";
import { plural } from "../page/formats.js";
import { problemBox } from "../page/notices.js";
import { SESSION, replay } from "./replay.js";

export class ReplayBar {
  element = h("div", { hidden: true });
  #series;

  constructor(series, signal) {
    this.#series = series;
    if (series.session.session !== SESSION) return;
    replay.addEventListener("change", () => this.#show(), { signal });
    series.addEventListener("change", () => this.#show(), { signal });
    this.#show();
  }

  async #show() {
    const left = (await replay.remaining(this.#series.session)).length;
    this.element.hidden = left === 0 && !replay.error;
    if (replay.error) fill(this.element, problemBox(replay.error, () => replay.resume(this.#series.session)));
    else this.#bar(left);
  }

  /** Built once: the button keeps the focus while the text counts down. */
  #bar(left) {
    if (!this.element.querySelector(".replay")) fill(this.element, this.#built());
    const [text, button] = this.element.querySelectorAll(".replay p, .replay button");
    text.textContent = `Highest temperature in Seattle, \u00b0C: ${plural(left, "day")} of the replay to come.`;
    button.textContent = replay.running ? "Pause" : "Go on";
  }

  #built() {
    const toggle = () => (replay.running ? replay.pause() : replay.resume(this.#series.session));
    return h("div", { class: "replay" }, h("p"), h("button", { type: "button", class: "quiet", onclick: toggle }));
  }
}
