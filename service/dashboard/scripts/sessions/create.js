/** The dialog that creates a session, with its history if there is one. */

import { api } from "../api/client.js";
import { field, openDialog } from "../page/dialog.js";
import { h } from "../page/elements.js";
import { notify } from "../page/notices.js";
import { go } from "../page/navigation.js";

const FREQS = ["D", "h", "15min", "W", "MS", "B"];

export async function openCreation() {
  const id = h("input", { name: "id", required: true, pattern: "[A-Za-z0-9._~\\-]{1,128}", autocomplete: "off" });
  const freq = h("input", { name: "freq", list: "freqs", autocomplete: "off", placeholder: "none: steps are counted" });
  const model = h("select", { name: "model" }, h("option", { value: "" }, "Newest for the frequency"));
  const minimum = h("input", { name: "minimum", type: "number", step: "any" });
  const retained = h("input", { name: "history", type: "number", min: 0, max: 10_000, placeholder: "64" });
  const history = h("textarea", { name: "observations", spellcheck: "false", placeholder: "2026-11-20, 119\n2026-11-21, 121.5" });
  openDialog({
    title: "New session",
    content: [
      field("Name", id, "Letters, digits and . _ ~ -, such as store-42"),
      h(
        "div",
        { class: "columns" },
        field("Frequency", freq),
        field("Model", model),
        field("Forecasts not below", minimum),
        field("Observations retained", retained),
      ),
      h("datalist", { id: "freqs" }, FREQS.map((value) => h("option", { value }))),
      field("History, oldest first", history, "One observation a line: time, value; the value alone where steps are counted"),
    ],
    action: "Create",
    async submit() {
      const settings = {
        freq: freq.value.trim() || undefined,
        model: model.value || undefined,
        minimum: minimum.value === "" ? undefined : minimum.valueAsNumber,
        history: retained.value === "" ? undefined : retained.valueAsNumber,
        observations: observationsOf(history.value),
      };
      const session = await api.create(id.value, settings);
      notify(`${session.session} is created.`);
      go(`/sessions/${session.session}`);
    },
  });
  id.focus();
  const { models } = await api.models();
  model.append(...models.map((each) => h("option", { value: each.model }, `${each.model} (${each.freqs.join(", ")})`)));
}

/** Lines as observations: "2026-11-20, 119", or "119" alone; no value is a missing one. */
function observationsOf(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.length ? lines.map(observationOf) : undefined;
}

function observationOf(line) {
  const parts = line.split(/[,;\t]/).map((part) => part.trim());
  const timestamp = parts.length > 1 ? parts[0] : undefined;
  const value = parts.at(-1);
  if (parts.length > 2 || Number.isNaN(Number(value))) {
    const text = `\u201c${line}\u201d is no observation: write the time, a comma, and the value with a point, such as 2026-11-20, 119.5.`;
    throw Object.assign(new TypeError(text), { title: "A line of the history cannot be read" });
  }
  return { timestamp, value: value === "" ? null : Number(value) };
}
