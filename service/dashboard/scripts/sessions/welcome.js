/** What is shown where there is no session to show. */

import { replay, SESSION } from "../demo/replay.js";
import { fill, h } from "../page/elements.js";
import { problemBox } from "../page/notices.js";
import { go } from "../page/navigation.js";
import { openCreation } from "./create.js";

export function nothingFound(prefix) {
  return h(
    "section",
    { class: "panel empty prose" },
    h("h2", {}, prefix ? "No session of that name" : "This page is empty"),
    h("p", {}, prefix ? `No session's name begins with ${prefix}.` : "Its sessions have gone meanwhile."),
    h("p", {}, h("a", { href: "#/sessions" }, "Show all sessions")),
  );
}

/** For a service that has no session yet. */
export function welcome() {
  const said = h("div");
  const start = h("button", { type: "button", class: "primary", onclick: () => begin() }, "Replay real weather");
  const create = h("button", { type: "button", onclick: () => openCreation() }, "New session\u2026");

  async function begin() {
    start.disabled = true;
    try {
      await replay.begin();
      go(`/sessions/${SESSION}`);
    } catch (error) {
      fill(said, problemBox(error));
      start.disabled = false;
    }
  }

  const example = `curl --json '{"value": 118}' '${location.origin}/v1/sessions/store-42/observations?create=true'`;
  return h(
    "section",
    { class: "panel empty prose" },
    h("h2", {}, "No sessions yet"),
    h("p", {}, "A session is one series. Post a value and get the forecast of the next one; nothing is ever sent twice."),
    h("p", {}, "To see one at work, replay four years of Seattle\u2019s daily temperatures, the last 120 days one by one."),
    h("div", { class: "actions" }, start, create),
    said,
    h("p", { class: "hint" }, "Or from a terminal:"),
    h("pre", {}, example),
  );
}
