/** What a model was trained on, and how. */

import { h } from "../page/elements.js";
import { count } from "../page/formats.js";
import { facts, scroller, table } from "../page/table.js";

const COLUMNS = [
  { name: "File", kind: "wrap" },
  { name: "Series", kind: "number" },
  { name: "Steps", kind: "number" },
  { name: "Licence", kind: "wrap" },
  { name: "SHA-256 of the rows" },
];

export function provenancePanel({ provenance }) {
  const { sources = [], schedule = {}, ...rest } = provenance;
  const said = Object.entries({ ...rest, ...schedule }).map(([name, value]) => [name.replaceAll("_", " "), text(value)]);
  return h(
    "section",
    { class: "panel", "aria-labelledby": "provenance" },
    h("div", { class: "panel-head" }, h("h2", { id: "provenance" }, "Provenance")),
    said.length ? facts(said) : h("p", { class: "hint" }, "Nothing was published of it."),
    sources.length ? scroller("Sources, table", table("Training data.", COLUMNS, sources.map(line))) : null,
  );
}

function line(source) {
  const chosen = source.prefixes?.length ? `${source.file} (${source.prefixes.join(", ")})` : source.file;
  return [chosen, count(source.series), count(source.steps), source.licence, h("code", {}, source.sha256.slice(0, 16))];
}

function text(value) {
  if (value === null) return "none";
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map((part) => part.join(" ")).join(", ");
}
