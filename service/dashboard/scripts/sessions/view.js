/** The table of sessions: worst or stalest first, by prefix, page by page. */

import { api } from "../api/client.js";
import { fill, h } from "../page/elements.js";
import { count, plural } from "../page/formats.js";
import { announce } from "../page/notices.js";
import { load } from "../page/states.js";
import { again, coalesced } from "../page/timing.js";
import { go } from "../page/navigation.js";
import { openCreation } from "./create.js";
import { Filters, orderOf } from "./filters.js";
import { SessionTable } from "./table.js";
import { nothingFound, welcome } from "./welcome.js";

const PAGE_SIZE = 25;
/** How often the page is read again: events tell neither scores nor the order. */
const LOOK_AGAIN_MS = 15_000;
/** The same after an event, and while there is nothing to show: new sessions are listed some seconds late. */
const SOON_MS = 2500;

/** @param {{query: URLSearchParams, live: Live, signal: AbortSignal}} context */
export function sessionsView({ query, live, signal }) {
  const asked = { prefix: query.get("prefix") ?? "", order: orderOf(query.get("order")), page: query.get("page") ?? "" };
  const body = h("div", { class: "stack" });
  const listed = new SessionTable();
  const read = () => load(body, "sessions", () => api.sessions(wire(asked), signal), show, signal);

  function show(page) {
    follow(live, asked, page);
    if (page.sessions.length) {
      listed.update(page.sessions);
      fill(body, listed.element, paging(asked, page));
    } else if (asked.prefix || asked.page) {
      fill(body, nothingFound(asked.prefix));
    } else if (page.total_size === 0 && !body.querySelector(".empty")) {
      fill(body, welcome());
    }
  }

  const soon = coalesced(read, SOON_MS, signal);
  const take = ({ detail }) => {
    listed.take(detail);
    if (listed.isEmpty || detail.type !== "observation") read();
    else soon();
  };
  live.addEventListener("event", take, { signal });
  live.addEventListener("lost", read, { signal });
  live.follow(`prefix=${encodeURIComponent(asked.prefix)}`);
  read().then(() => announce(`${plural(listed.size, "session")} shown`));
  again(read, () => (listed.isEmpty ? SOON_MS : LOOK_AGAIN_MS), signal);
  return { element: h("div", { class: "stack" }, heading(), new Filters(asked).element, body), title: "Sessions" };
}

function heading() {
  const create = h("button", { type: "button", class: "primary", onclick: () => openCreation() }, "New session\u2026");
  return h(
    "div",
    { class: "heading" },
    h("div", {}, h("h1", { tabindex: -1 }, "Sessions"), h("p", {}, "Each is one series, folded as far as it has come.")),
    h("div", { class: "actions" }, create),
  );
}

/** A prefix is looked for in the order of names. */
function wire({ prefix, order, page }) {
  return { page_size: PAGE_SIZE, page_token: page, prefix, order_by: prefix ? "session" : order };
}

/** All that match, where they fit on this page; otherwise those on it, so that a busy service does not flood it. */
function follow(live, { prefix, page: token }, page) {
  const isAll = !token && !page.next_page_token;
  const shown = page.sessions.map(({ session }) => `session=${encodeURIComponent(session)}`);
  live.follow(isAll ? `prefix=${encodeURIComponent(prefix)}` : shown.join("&"));
}

function paging(asked, { sessions, total_size, next_page_token }) {
  const to = (page) => go("/sessions", { prefix: asked.prefix, order: asked.order, page });
  const button = (page, text) => h("button", { type: "button", onclick: () => to(page) }, text);
  const all = asked.prefix ? "" : ` of ${plural(total_size, "session")}`;
  return h(
    "nav",
    { class: "bar", "aria-label": "Pages" },
    h("p", { class: "hint" }, `${count(sessions.length)} shown${all}`),
    asked.page ? button("", "First page") : null,
    next_page_token ? button(next_page_token, "Next page") : null,
  );
}
