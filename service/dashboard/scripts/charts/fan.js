/** The fan chart: what was observed, what had been forecast for it, and the fan of what follows. */

import { bounds, levelsOf } from "./levels.js";
import { Panel, legendItem } from "./panel.js";
import { Plot, axes, colour, hasRoom } from "./plot.js";
import { inZone, timeOf } from "./time.js";
import { interval, number, when } from "../page/formats.js";
import { h } from "../page/elements.js";
import { table } from "../page/table.js";

/** Levels that are drawn, the widest first: each lies over the one before. */
const DRAWN = [95, 80, 50];

export class FanChart {
  #series;
  #plot;
  #panel;
  #points = [];
  #range = [0, 1];
  #action;
  #note = h("p");

  /**
   * @param {Series} series read already
   * @param {(record) => Node|string} action what can be done with an observation, in its row of the table
   */
  constructor(series, { action, signal }) {
    this.#series = series;
    this.#action = action;
    this.#plot = new Plot({
      options: this.#options(),
      label: `Observations of ${series.session.session}, the forecasts that had been issued for them, and those ahead.`,
      describe: (index) => sentence(this.#points[index] ?? this.#latest),
      empty: "Nothing is observed yet. Post a first value below.",
      large: true,
      signal,
    });
    const legend = [
      legendItem("actual", "Observed"),
      legendItem("forecast", "Forecast (median)"),
      ...[50, 80, 95].map((level) => legendItem(level, `${level} %`)),
      legendItem("outside", "Outside 80\u00a0%"),
      legendItem("filled", "Missing: the median stands in"),
    ];
    this.#panel = new Panel({
      title: "Forecasts",
      note: this.#note,
      legend,
      chart: this.#plot.element,
      makeTable: () => this.#table(),
    });
    this.element = this.#panel.element;
    this.update();
  }

  /** Draw what the series is now. */
  update() {
    const { observations, fan, session } = this.#series;
    this.#points = [...observations, ...fan.map(ahead)];
    this.#note.textContent = fan.length ? `${fan.length} steps ahead of ${session.last ?? `step ${session.step}`}` : "";
    this.#range = rangeOf(this.#points);
    this.#plot.draw(this.#data());
    this.#panel.refresh();
  }

  /** The last observed point; the first one ahead where nothing is retained. */
  get #latest() {
    return this.#points[Math.max(this.#series.observations.length - 1, 0)];
  }

  #options() {
    const { at: _, time, zone } = timeOf(this.#series.session);
    const line = { points: { show: false }, spanGaps: false };
    const edges = DRAWN.flatMap(() => [{ ...line, width: 0 }, { ...line, width: 0 }]);
    const bands = DRAWN.map((level, index) => ({
      series: [FIRST_EDGE + 2 * index, FIRST_EDGE + 2 * index + 1],
      fill: () => colour(`band-${level}`),
    }));
    return {
      ...inZone(zone),
      scales: { x: { time }, y: { range: () => this.#range } },
      axes: axes(number, { time }),
      bands,
      series: [
        {},
        { ...line, stroke: () => colour("forecast"), width: 1.75 },
        { ...line, stroke: () => colour("forecast"), width: 1.75, dash: [5, 4] },
        { ...line, stroke: () => colour("actual"), width: 1.5, points: { show: hasRoom, size: 4, fill: () => colour("actual") } },
        dots(() => colour("surface"), () => colour("actual"), 7),
        dots(() => colour("outside"), () => colour("outside"), 7),
        ...edges,
      ],
      hooks: { drawAxes: [(u) => this.#divide(u)] },
    };
  }

  #data() {
    const { at } = timeOf(this.#series.session);
    const points = this.#points;
    const issued = (point) => (point.isAhead ? null : (point.forecast?.value ?? null));
    const reached = (point) => (point.isAhead ? point.forecast.value : null);
    const columns = [
      points.map(at),
      points.map(issued),
      points.map(reached),
      points.map((point) => point.value),
      points.map((point) => (isMissing(point) ? (point.forecast?.value ?? null) : null)),
      points.map((point) => (point.covered && !point.covered["80"] ? point.value : null)),
    ];
    for (const level of DRAWN) {
      const pairs = points.map((point) => bounds(point.forecast, level));
      columns.push(pairs.map((pair) => pair?.[1] ?? null), pairs.map((pair) => pair?.[0] ?? null));
    }
    return columns;
  }

  /** A line between what came and what is ahead. */
  #divide(u) {
    const last = this.#series.observations.at(-1);
    if (!last || !this.#series.fan.length) return;
    const { at } = timeOf(this.#series.session);
    const x = Math.round(u.valToPos((at(last) + at(this.#series.fan[0])) / 2, "x", true)) + 0.5;
    u.ctx.save();
    u.ctx.strokeStyle = colour("edge");
    u.ctx.lineWidth = devicePixelRatio;
    u.ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    u.ctx.beginPath();
    u.ctx.moveTo(x, u.bbox.top);
    u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
    u.ctx.stroke();
    u.ctx.restore();
  }

  #table() {
    const levels = levelsOf(this.#points.map((point) => point.forecast));
    const columns = [
      { name: this.#series.session.freq === null ? "Step" : "Time" },
      { name: "Observed", kind: "number" },
      { name: "Forecast", kind: "number" },
      ...levels.map((level) => ({ name: `${level} % interval`, kind: "number" })),
      { name: "Correct", unseen: true, kind: "number" },
    ];
    const rows = this.#points.toReversed().map((point) => [
      when(point),
      point.isAhead ? "ahead" : observed(point),
      number(point.forecast?.value),
      ...levels.map((level) => interval(...(bounds(point.forecast, level) ?? []))),
      point.isAhead ? "" : this.#action(point),
    ]);
    return table("Newest first. Forecasts of observed steps are those that had been issued for them.", columns, rows);
  }
}

/** Of uPlot's series, where the edges of the bands begin. */
const FIRST_EDGE = 6;

function ahead(forecast) {
  return { ...forecast, value: null, forecast, covered: null, isAhead: true };
}

function isMissing(point) {
  return !point.isAhead && (point.value === null || point.imputed);
}

function observed(record) {
  if (record.imputed) return "filled in";
  if (record.value === null) return "missing";
  return record.original === null ? number(record.value) : `${number(record.value)} (was ${number(record.original)})`;
}

function sentence(point) {
  if (!point) return "";
  const parts = [when(point)];
  if (!point.isAhead) parts.push(`observed ${observed(point)}`);
  if (point.forecast) {
    parts.push(`forecast ${number(point.forecast.value)}`);
    for (const level of levelsOf([point.forecast])) parts.push(`${level} % ${interval(...bounds(point.forecast, level))}`);
  }
  return parts.join("  \u00b7  ");
}

function dots(fill, stroke, size) {
  return { stroke, width: 0, paths: () => null, points: { show: true, size, width: 1.5, fill, stroke } };
}

/**
 * The values to show. What was observed, the medians and the fan are seen whole; the wide intervals of a session's first
 * steps are cut off, as everything else would be flat beside them.
 */
function rangeOf(points) {
  const values = points.flatMap((point) => [
    point.value,
    point.forecast?.value,
    ...(point.isAhead ? (bounds(point.forecast, DRAWN[0]) ?? []) : []),
  ]);
  const core = extent(values);
  const room = (core[1] - core[0] || Math.abs(core[0]) || 1) * 0.06;
  const [low, high] = extent([...core, ...points.flatMap((point) => bounds(point.forecast, DRAWN[0]) ?? [])]);
  const far = 6 * room;
  return [Math.max(low, core[0] - far) - room, Math.min(high, core[1] + far) + room];
}

function extent(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
}
