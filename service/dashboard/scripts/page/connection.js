/** Whether what is shown is live. */

const TEXTS = {
  connecting: "Connecting",
  live: "Live",
  waiting: "Disconnected, trying again",
  locked: "A key is needed",
  resting: "Paused while nobody looks",
};
/** A tab that nobody looks at gives its connection back: browsers allow six to a service, in all tabs together. */
const REST_MS = 60_000;

export function showConnection(live, element) {
  const text = element.querySelector(".connection-text");
  const show = () => {
    // Between two attempts it flickers: that it is disconnected stays on show until it is live.
    if (live.state === "connecting" && element.dataset.state === "waiting") return;
    element.dataset.state = live.state;
    text.textContent = TEXTS[live.state];
  };
  live.addEventListener("state", show);
  addEventListener("online", () => live.hurry());
  let timer = null;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => live.rest(), REST_MS);
    else if (live.state === "resting") live.reopen();
    else live.hurry();
  });
  show();
}
