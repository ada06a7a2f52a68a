/** Whether what is shown is live. */

const TEXTS = {
  connecting: "Connecting",
  live: "Live",
  waiting: "Disconnected, trying again",
  locked: "A key is needed",
};

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
  document.addEventListener("visibilitychange", () => document.hidden || live.hurry());
  show();
}
