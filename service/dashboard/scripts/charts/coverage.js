/** Running coverage: how many of the latest observations fell inside their intervals, against how many should. */

import { Panel, legendItem } from "./panel.js";
import { Plot, axes, colour } from "./plot.js";
import { inZone, timeOf } from "./time.js";
import { percent, when } from "../page/formats.js";
import { table } from "../page/table.js";

/** Levels that each observation is judged by. */
const LEVELS = [80, 95];
/** Observations that a point of the line looks back on, and how many there must be. */
const WINDOW = 50;
const FEWEST = 5;

export class CoverageChart {
  #series;
  #plot;
  #panel;
  #points = [];

  constructor(series, { signal }) {
    this.#series = series;
    const { time, zone } = timeOf(series.session);
    const line = { points: { show: false }, width: 2 };
    const nominal = { ...line, stroke: () => colour("edge"), width: 1.5, dash: [5, 4] };
    this.#plot = new Plot({
      options: {
        ...inZone(zone),
        scales: { x: { time }, y: { range: (_, low) => [Math.min(0.6, (low ?? 1) - 0.05), 1.02] } },
        axes: axes(percent, { time }),
        series: [
          {},
          nominal,
          nominal,
          { ...line, stroke: () => colour("forecast") },
          { ...line, stroke: () => colour("actual") },
        ],
      },
      label: `Share of the latest ${WINDOW} observations inside the 80 and 95 % intervals, against 80 and 95 %.`,
      describe: (index) => sentence(this.#points[index] ?? this.#points.at(-1)),
      empty: `It begins with the ${FEWEST}th observation that had a forecast.`,
      signal,
    });
    this.#panel = new Panel({
      title: "Running coverage",
      legend: [
        legendItem("line-80", "80 % intervals"),
        legendItem("line-95", "95 % intervals"),
        legendItem("nominal", "Nominal"),
      ],
      chart: this.#plot.element,
      makeTable: () => this.#table(),
    });
    this.element = this.#panel.element;
    this.update();
  }

  /** Draw what the series is now. */
  update() {
    const { at } = timeOf(this.#series.session);
    this.#points = running(this.#series.observations);
    this.#plot.draw([
      this.#points.map(at),
      ...LEVELS.map((level) => this.#points.map(() => level / 100)),
      ...LEVELS.map((level) => this.#points.map((point) => point.shares[level])),
    ]);
    this.#panel.refresh();
  }

  #table() {
    const columns = [
      { name: this.#series.session.freq === null ? "Step" : "Time" },
      { name: "Looked back on", kind: "number" },
      ...LEVELS.map((level) => ({ name: `Inside ${level} %`, kind: "number" })),
    ];
    const rows = this.#points
      .toReversed()
      .map((point) => [when(point), point.steps, ...LEVELS.map((level) => percent(point.shares[level]))]);
    return table(`Of the latest ${WINDOW} observations at each time, newest first.`, columns, rows);
  }
}

/** For each judged observation but the first few, the shares among those up to it. */
function running(observations) {
  const judged = observations.filter((record) => record.covered);
  return judged.slice(FEWEST - 1).map(({ step, timestamp }, index) => {
    const end = index + FEWEST;
    const seen = judged.slice(Math.max(0, end - WINDOW), end);
    const shares = Object.fromEntries(
      LEVELS.map((level) => [level, seen.filter((record) => record.covered[level]).length / seen.length]),
    );
    return { step, timestamp, steps: seen.length, shares };
  });
}

function sentence(point) {
  if (!point) return "";
  const shares = LEVELS.map((level) => `${percent(point.shares[level])} inside ${level} %`);
  return `${when(point)}  \u00b7  ${shares.join(", ")}, of ${point.steps}`;
}
