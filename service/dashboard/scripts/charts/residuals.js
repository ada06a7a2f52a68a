/** Residuals: by how much each observation missed the forecast that had been issued for it. */

import { Panel, legendItem } from "./panel.js";
import { Plot, axes, colour } from "./plot.js";
import { inZone, timeOf } from "./time.js";
import { number, when } from "../page/formats.js";
import { table } from "../page/table.js";

export class ResidualChart {
  #series;
  #plot;
  #panel;
  #points = [];

  constructor(series, { signal }) {
    this.#series = series;
    const { time, zone } = timeOf(series.session);
    this.#plot = new Plot({
      options: {
        ...inZone(zone),
        scales: { x: { time, range: withRoom }, y: { range: around } },
        axes: axes(number, { time }),
        series: [{}, bars("forecast", "aa"), bars("outside", "")],
      },
      label: "Residuals: observed minus forecast, one step ahead.",
      describe: (index) => sentence(this.#points[index] ?? this.#points.at(-1)),
      empty: "There is none before a forecast is followed by what it was for.",
      signal,
    });
    this.#panel = new Panel({
      title: "Residuals",
      legend: [legendItem("inside-bar", "Inside 80 %"), legendItem("outside-bar", "Outside 80 %")],
      chart: this.#plot.element,
      makeTable: () => this.#table(),
    });
    this.element = this.#panel.element;
    this.update();
  }

  /** Draw what the series is now. */
  update() {
    const { at } = timeOf(this.#series.session);
    this.#points = residuals(this.#series.observations);
    this.#plot.draw([
      this.#points.map(at),
      this.#points.map((point) => (point.inside ? point.residual : null)),
      this.#points.map((point) => (point.inside ? null : point.residual)),
    ]);
    this.#panel.refresh();
  }

  #table() {
    const columns = [
      { name: this.#series.session.freq === null ? "Step" : "Time" },
      { name: "Observed", kind: "number" },
      { name: "Forecast", kind: "number" },
      { name: "Residual", kind: "number" },
      { name: "Inside 80 %" },
    ];
    const rows = this.#points
      .toReversed()
      .map((point) => [when(point), number(point.value), number(point.forecast), number(point.residual), point.inside ? "yes" : "no"]);
    return table("Observed minus forecast, newest first.", columns, rows);
  }
}

/** Of every observation that has a value and had a forecast. */
function residuals(observations) {
  return observations
    .filter((record) => record.value !== null && record.covered)
    .map(({ step, timestamp, value, forecast, covered }) => ({
      step,
      timestamp,
      value,
      forecast: forecast.value,
      residual: value - forecast.value,
      inside: covered["80"],
    }));
}

function bars(name, alpha) {
  const paint = () => `${colour(name)}${alpha}`;
  return { stroke: paint, fill: paint, width: 0, points: { show: false }, paths: globalThis.uPlot.paths.bars({ size: [0.7, 14] }) };
}

/** Half a bar more at both ends. */
function withRoom(u, low, high) {
  const room = u.data[0].length > 1 ? (high - low) / (u.data[0].length - 1) / 2 : 0.5;
  return [low - room, high + room];
}

/** Zero in the middle. */
function around(_, low, high) {
  const most = Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0)) * 1.08 || 1;
  return [-most, most];
}

function sentence(point) {
  if (!point) return "";
  return `${when(point)}  \u00b7  ${number(point.residual)} (observed ${number(point.value)}, forecast ${number(point.forecast)})`;
}
