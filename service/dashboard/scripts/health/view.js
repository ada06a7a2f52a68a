/** How the service is: its store and what that promises, its queue, its sessions, its limits. */

import { api } from "../api/client.js";
import { NOBODY } from "../api/live.js";
import { fill, h } from "../page/elements.js";
import { bytes, count, duration } from "../page/formats.js";
import { load } from "../page/states.js";
import { facts } from "../page/table.js";
import { again } from "../page/timing.js";

const LOOK_AGAIN_MS = 5000;
const DURABILITY = {
  memory: "memory: a crash may lose the last answers",
  local: "local: on disk before each answer",
  replica: "replica: on replicas before each answer",
};

export function healthView({ live, signal }) {
  const body = h("div");
  const read = () => load(body, "the service's health", () => api.status(signal), (status) => fill(body, page(status)), signal);
  again(read, () => LOOK_AGAIN_MS, signal);
  live.follow(NOBODY);
  live.addEventListener("state", read, { signal });
  read();
  const heading = h(
    "div",
    { class: "heading" },
    h("div", {}, h("h1", { tabindex: -1 }, "Health"), h("p", {}, "Of the process that answers this page, and of its store.")),
  );
  return { element: h("div", {}, heading, body), title: "Health" };
}

function page(status) {
  const { store, sessions, queue } = status;
  return h(
    "div",
    { class: "stack" },
    readiness(status),
    h(
      "div",
      { class: "pair" },
      panel("Store", [
        ["Engine", `${store.engine} ${store.version}, ${store.deployment}`],
        ["Durability", DURABILITY[store.durability] ?? store.durability],
        ["Durability asked for", store.durability_asked ?? "what the store gives"],
        ["Persistence", store.persistence],
        ["Eviction", store.eviction],
        ["Replicas", count(store.replicas)],
        ["Memory", `${bytes(store.used_bytes)} of ${store.limit_bytes === null ? "no limit" : bytes(store.limit_bytes)}`],
      ]),
      panel("Service", [
        ["Version", status.version],
        ["Runtime", store.runtime],
        ["Models", status.models.join(", ")],
        ["Waiting observations", `${count(queue.depth)} of at most ${count(queue.limit)}`],
        ["Sessions", count(sessions.count)],
        ["A session takes", bytes(sessions.bytes_each)],
        ["Overdue sessions", overdue(sessions.overdue)],
      ]),
    ),
    panel("Limits", Object.entries(status.limits).map(limit)),
  );
}

function readiness({ ready, reasons }) {
  const flag = h("span", { class: ready ? "flag good" : "flag alarm" }, ready ? "ready" : "not ready");
  const text = ready ? " Requests are answered." : " Requests should go elsewhere:";
  return h("section", { class: "panel", "aria-label": "Readiness" }, flag, text, reasons.length ? h("ul", {}, reasons.map((reason) => h("li", {}, reason))) : null);
}

/** Names of limits end with their unit, where they have one. */
function limit([name, value]) {
  const [, text, unit] = /^(.*?)(_s|_bytes)?$/.exec(name);
  const format = { _s: duration, _bytes: bytes }[unit] ?? count;
  return [text.replaceAll("_", " "), value === null ? "none" : format(value)];
}

function overdue(number) {
  return number ? `${count(number)}: their next observation is more than one period late` : count(number);
}

function panel(title, pairs) {
  const id = title.toLowerCase();
  return h("section", { class: "panel", "aria-labelledby": id }, h("div", { class: "panel-head" }, h("h2", { id }, title)), facts(pairs));
}
