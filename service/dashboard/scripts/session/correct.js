/** The dialog that gives a retained observation another value. */

import { api, newKey } from "../api/client.js";
import { check, field, openDialog } from "../page/dialog.js";
import { h } from "../page/elements.js";
import { number, when } from "../page/formats.js";
import { notify } from "../page/notices.js";

/** @param {Series} series @param {object|null} record the one to begin with; null = the last */
export function openCorrection(series, record = null) {
  const records = series.observations.filter(({ step }) => step >= firstCorrectable(series)).toReversed();
  const chosen = record ?? records[0];
  let key = newKey();
  const which = h(
    "select",
    { name: "which", onchange: () => show(records[which.selectedIndex]) },
    records.map((each) => h("option", { value: keyOf(each) }, `${when(each)}: ${valueOf(each)}`)),
  );
  const value = h("input", { name: "value", type: "number", step: "any", required: true, autocomplete: "off" });
  const missing = h("input", { name: "missing", type: "checkbox", onchange: () => allow() });
  const allow = () => {
    value.disabled = missing.checked;
  };
  const show = (each) => {
    value.value = each.value ?? "";
  };
  which.value = keyOf(chosen);
  show(chosen);
  const dialog = openDialog({
    title: "Correct an observation",
    content: [
      h("p", { class: "hint" }, "What follows it is folded again. Forecasts that were issued stay as they were."),
      field("Observation", which),
      field("Right value", value),
      check("It is missing", missing),
    ],
    action: "Correct",
    async submit() {
      const change = { value: missing.checked ? null : value.valueAsNumber };
      await api.correct(series.session, which.value, change, key);
      notify(`${which.value} of ${series.session.session} is corrected.`);
      series.refresh();
    },
  });
  dialog.addEventListener("input", () => {
    key = newKey();
  });
  value.focus();
  value.select();
}

/** The first step, of those that are shown, that can be folded again; Infinity where none can. */
export function firstCorrectable({ session, observations }) {
  if (session.retained_from === null || !observations.length) return Infinity;
  return (observations.find((record) => keyOf(record) === session.retained_from) ?? observations[0]).step;
}

function keyOf({ timestamp, step }) {
  return timestamp ?? String(step);
}

function valueOf(record) {
  return record.imputed ? "filled in" : record.value === null ? "missing" : number(record.value);
}
