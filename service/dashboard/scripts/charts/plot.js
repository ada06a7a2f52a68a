/** A uPlot chart that follows the width of its place, the colour scheme, and the arrow keys. */

import { h } from "../page/elements.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** A colour of the style sheet, as it is now. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export class Plot {
  #uplot = null;
  #options;
  #readout;
  #empty;
  #describe;
  #signal;

  /**
   * @param {object} options as uPlot takes them, without size
   * @param {string} label what the chart shows, for those who cannot see it
   * @param {(index: number|null) => string} describe what stands at a place, in words; at null, the latest
   * @param {string} empty what is said where there is nothing to draw yet
   * @param {AbortSignal} signal ends it
   */
  constructor({ options, label, describe, empty, large = false, signal }) {
    this.#options = options;
    this.#describe = describe;
    this.#signal = signal;
    this.place = h("div", {
      class: large ? "chart large" : "chart",
      role: "img",
      tabindex: 0,
      "aria-label": `${label} The arrow keys read its values; the table holds them all.`,
      onkeydown: (event) => this.#move(event),
      onblur: () => this.#leave(),
    });
    this.#readout = h("p", { class: "readout" });
    this.#empty = h("p", { class: "chart-empty" }, empty);
    this.element = h("figure", {}, this.place, this.#readout);
    const resized = new ResizeObserver(() => this.#resize());
    resized.observe(this.place);
    dark.addEventListener("change", () => this.#uplot?.redraw(false), { signal });
    signal.addEventListener("abort", () => {
      resized.disconnect();
      this.#uplot?.destroy();
    });
  }

  /** Draw other data: [x, ...series], as uPlot takes it. */
  draw(data) {
    if (this.#signal.aborted) return;
    if (this.#uplot) {
      this.#uplot.setData(data);
    } else {
      this.#uplot = new globalThis.uPlot(this.#complete(), data, this.place);
      this.place.append(this.#empty);
    }
    this.#empty.hidden = data[0].length > 0;
    this.#read(this.#uplot.cursor.idx);
  }

  #complete() {
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { points: { show: false }, y: false, drag: { x: false, y: false } },
      ...this.#options,
      hooks: { ...this.#options.hooks, setCursor: [(u) => this.#read(u.cursor.idx)] },
    };
  }

  #size() {
    return { width: Math.max(this.place.clientWidth, 120), height: Math.max(this.place.clientHeight, 120) };
  }

  #resize() {
    if (this.#uplot && this.place.clientWidth) this.#uplot.setSize(this.#size());
  }

  /** What stands under the cursor; without one, at the end of what is known. */
  #read(index) {
    this.#readout.textContent = this.#describe(index ?? null);
  }

  #move(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (steps === undefined || !this.#uplot) return;
    event.preventDefault();
    this.#readout.setAttribute("aria-live", "polite");
    const u = this.#uplot;
    const last = u.data[0].length - 1;
    const from = u.cursor.idx ?? (steps < 0 ? last + 1 : -1);
    const index = Math.min(Math.max(from + steps, 0), last);
    u.setCursor({ left: u.valToPos(u.data[0][index], "x"), top: u.over.clientHeight / 2 });
  }

  #leave() {
    this.#readout.removeAttribute("aria-live"); // what moves on by itself is not read out
    this.#uplot?.setCursor({ left: -10, top: -10 });
  }
}

/** Whether there is room to see single points. */
export function hasRoom(u) {
  return u.bbox.width / devicePixelRatio / u.data[0].length > 5;
}

/** How times are written on an axis, by the distance of its marks in seconds, and below them where a day or year begins. */
const STAMPS = [
  [31_536_000, "{YYYY}", null, null, null, null, null, null, 1],
  [2_419_200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86_400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];

/** Axes in the colours and the type of the page: times or steps below, values at the left. */
export function axes(format, { time }) {
  const axis = { font: FONT, stroke: () => colour("soft"), ticks: { show: false } };
  const grid = { stroke: () => colour("grid"), width: 1 };
  const steps = (_, marks) => marks.map((mark) => (Number.isInteger(mark) ? mark : ""));
  return [
    { ...axis, grid: { show: false }, space: 80, values: time ? STAMPS : steps },
    { ...axis, grid, size: 58, values: (_, marks) => marks.map(format) },
  ];
}
