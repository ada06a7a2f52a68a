/** The page: one live connection, one view at a time. */

import { gate } from "./api/client.js";
import { forgetKey, storedKey } from "./api/key.js";
import { Live } from "./api/live.js";
import { fill, h } from "./page/elements.js";
import { showConnection } from "./page/connection.js";
import { keyForm } from "./page/key-form.js";
import { takesFocusAlong } from "./page/navigation.js";
import { announce } from "./page/notices.js";
import { resolve } from "./routes.js";

const main = document.getElementById("main");
const forget = document.getElementById("forget-key");
const live = new Live();
let shown = new AbortController();

function show() {
  shown.abort();
  shown = new AbortController();
  const found = resolve(location.hash);
  const { element, title } = found ? found.view({ ...found, live, signal: shown.signal }) : nowhere();
  const focused = takesFocusAlong() ? document.activeElement?.name : null;
  fill(main, element);
  mark(found?.section);
  document.title = `${title} \u00b7 hiddenstate`;
  if (focused) restore(focused);
  else if (document.activeElement === document.body) main.focus({ preventScroll: true });
  if (!focused) {
    scrollTo(0, 0);
    announce(title);
  }
}

/** The same field of the new view, with the caret at its end. */
function restore(name) {
  const control = main.querySelector(`[name="${name}"]`);
  control?.focus();
  if (control?.type === "search") control.setSelectionRange(control.value.length, control.value.length);
}

function nowhere() {
  const element = h(
    "section",
    { class: "panel empty prose" },
    h("h1", { tabindex: -1 }, "There is no such page"),
    h("p", {}, h("a", { href: "#/sessions" }, "Show all sessions")),
  );
  return { element, title: "Not found" };
}

function mark(section) {
  for (const link of document.querySelectorAll("[data-section]")) {
    if (link.dataset.section === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function restart() {
  forget.hidden = !storedKey();
  live.reopen();
  show();
}

function askForKey() {
  if (main.querySelector("#key-form")) return;
  shown.abort();
  fill(main, keyForm(restart));
}

addEventListener("hashchange", show);
gate.addEventListener("key-needed", askForKey);
forget.addEventListener("click", () => {
  forgetKey();
  restart();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  main.focus();
});
showConnection(live, document.getElementById("connection"));
forget.hidden = !storedKey();
show();
