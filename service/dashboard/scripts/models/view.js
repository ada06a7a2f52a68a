/** The models that are loaded, and the page of one. */

import { api } from "../api/client.js";
import { NOBODY } from "../api/live.js";
import { fill, h } from "../page/elements.js";
import { bytes, count } from "../page/formats.js";
import { load } from "../page/states.js";
import { facts, scroller, table } from "../page/table.js";
import { metricsPanel } from "./metrics.js";
import { provenancePanel } from "./provenance.js";

const COLUMNS = [
  { name: "Model" },
  { name: "Trained for" },
  { name: "Steps ahead", kind: "number" },
  { name: "Levels" },
  { name: "State", kind: "number" },
  { name: "Sessions", kind: "number" },
  { name: "Version" },
];

export function modelsView({ live, signal }) {
  const body = h("div");
  const show = ({ models }) => fill(body, h("div", { class: "panel" }, scroller("Models, table", list(models))));
  live.follow(NOBODY);
  load(body, "models", () => api.models(signal), show, signal);
  const heading = h(
    "div",
    { class: "heading" },
    h("div", {}, h("h1", { tabindex: -1 }, "Models"), h("p", {}, "A session stays with the version that it began with.")),
  );
  return { element: h("div", {}, heading, body), title: "Models" };
}

export function modelView({ id, live, signal }) {
  const body = h("div");
  live.follow(NOBODY);
  load(body, `model ${id}`, () => api.model(id, signal), (model) => fill(body, page(model, signal)), signal);
  return { element: body, title: id };
}

function list(models) {
  const rows = models.map((model) => [
    h("a", { href: `#/models/${model.model}` }, model.model),
    model.freqs.join(", "),
    count(model.horizon),
    levels(model),
    bytes(model.state_bytes),
    count(model.sessions),
    model.latest ? "newest" : "superseded",
  ]);
  return table("Every version of every model here.", COLUMNS, rows);
}

function page(model, signal) {
  const lead = `For ${model.freqs.join(", ")}, ${count(model.horizon)} steps ahead.`;
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "heading" },
      h(
        "div",
        {},
        h("p", { class: "crumb" }, h("a", { href: "#/models" }, "Models")),
        h("h1", { tabindex: -1 }, model.model),
        h("p", {}, lead),
      ),
    ),
    h("section", { class: "panel", "aria-label": "What it is" }, facts(properties(model))),
    curvePanel(model, signal),
    metricsPanel(model),
    provenancePanel(model),
  );
}

function properties(model) {
  const covariates = Object.entries(model.covariates).flatMap(([kind, names]) => names.map((name) => `${name} (${kind})`));
  return [
    ["Fingerprint", h("code", {}, model.fingerprint)],
    ["Version", model.latest ? "the newest of its name" : "superseded; it keeps the sessions that began with it"],
    ["Levels", levels(model)],
    ["Warm-up", `${count(model.warm_up)} steps`],
    ["State of a session", bytes(model.state_bytes)],
    ["Sessions", count(model.sessions)],
    ["Covariates", covariates.join(", ") || "none"],
  ];
}

function levels(model) {
  return `${model.levels.join(", ")} %`;
}

function curvePanel(model, signal) {
  const body = h("div");
  const show = (url) => {
    const alt = `Training curve of ${model.model}: loss and validation error over the updates.`;
    fill(body, url ? h("img", { class: "curve", src: url, alt }) : h("p", { class: "hint" }, "None was published with it."));
  };
  load(body, "the training curve", () => api.curve(model.model, signal), show, signal);
  return h("section", { class: "panel", "aria-labelledby": "curve" }, h("div", { class: "panel-head" }, h("h2", { id: "curve" }, "Training curve")), body);
}
