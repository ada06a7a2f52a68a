/** A model's scores on its test collections, beside those of simple forecasts. */

import { h } from "../page/elements.js";
import { number, percent } from "../page/formats.js";
import { scroller, table } from "../page/table.js";

const FIGURES = [
  ["relMAE", "relMAE", number],
  ["MASE", "MASE", number],
  ["horizon_MASE", "MASE of the fan", number],
  ["CRPS", "CRPS", number],
  ["coverage_80", "Inside 80 %", percent],
  ["coverage_95", "Inside 95 %", percent],
];

const CAPTION =
  "On test parts that it was not trained on: predict, then observe, one step ahead; the fan is the whole horizon. relMAE: error over that of repeating the last value.";

export function metricsPanel(model) {
  const collections = Object.entries(model.metrics);
  const content = collections.length
    ? scroller("Scores, table", scores(model, collections))
    : h("p", { class: "hint" }, "None were published with it.");
  return h(
    "section",
    { class: "panel", "aria-labelledby": "metrics" },
    h("div", { class: "panel-head" }, h("h2", { id: "metrics" }, "Scores")),
    content,
  );
}

function scores(model, collections) {
  const columns = [
    { name: "Collection" },
    { name: "Forecaster" },
    ...FIGURES.map(([, name]) => ({ name, kind: "number" })),
  ];
  const rows = collections.flatMap(([collection, forecasters]) =>
    Object.entries(forecasters).map(([name, figures], index) => [
      index ? h("span", { class: "unseen" }, collection) : collection,
      name,
      ...FIGURES.map(([key, , format]) => format(figures[key])),
    ]),
  );
  const made = table(CAPTION, columns, rows);
  [...made.tBodies[0].rows].forEach((line, index) => line.classList.toggle("best", rows[index][1] === model.model));
  return made;
}
