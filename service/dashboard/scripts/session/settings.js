/** The settings of a session, and what the service says of it. */

import { fill, h } from "../page/elements.js";
import { count, duration, number, rhythm } from "../page/formats.js";
import { facts } from "../page/table.js";

export class Settings {
  #body = h("div");
  element = h(
    "section",
    { class: "panel", "aria-labelledby": "settings" },
    h("div", { class: "panel-head" }, h("h2", { id: "settings" }, "Settings")),
    this.#body,
  );

  update({ session }) {
    fill(
      this.#body,
      facts([
        ["Model", h("a", { href: `#/models/${session.model}` }, session.model)],
        ["Fingerprint", h("code", {}, session.fingerprint)],
        ["Frequency", session.freq === null ? rhythm(session) : `${session.freq}: ${rhythm(session)}`],
        ["Gaps", session.gaps === "reject" ? "refused" : `filled in, up to ${count(session.max_gap)} at once`],
        ["Observations retained", session.history === "full" ? "all" : count(session.history)],
        ["Can be corrected from", session.retained_from ?? "nothing yet"],
        ["Forecasts cut at", limits(session)],
        ["Forgotten after", session.ttl_s === null ? "never" : `${duration(session.ttl_s)} without a commit`],
        ["Created", session.created_at],
        ["Last commit", session.updated_at],
        ["ETag", h("code", {}, session.etag)],
      ]),
    );
  }
}

function limits({ minimum, maximum }) {
  if (minimum === null && maximum === null) return "nothing";
  const parts = [minimum === null ? null : `${number(minimum)} below`, maximum === null ? null : `${number(maximum)} above`];
  return parts.filter(Boolean).join(", ");
}
