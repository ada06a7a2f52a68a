/** Numbers, times and shares as people read them. */

const MINUS = "\u2212";
const MISSING = "\u2013";

/** A number to about four digits: enough to compare, short enough to read. */
export function number(value) {
  if (value === null || value === undefined) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-3)) return signed(value.toExponential(2));
  const options = size >= 1000 ? { maximumFractionDigits: size >= 10_000 ? 0 : 1 } : { maximumSignificantDigits: 4 };
  return signed(value.toLocaleString("en", options));
}

/** A whole number. */
export function count(value) {
  return value === null || value === undefined ? MISSING : value.toLocaleString("en");
}

export function percent(share) {
  return share === null || share === undefined ? MISSING : `${(100 * share).toFixed(0)}\u00a0%`;
}

export function interval(low, high) {
  return low === undefined || low === null ? MISSING : `${number(low)} to ${number(high)}`;
}

export function bytes(size) {
  if (size === null || size === undefined) return MISSING;
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size.toLocaleString("en", { maximumSignificantDigits: 3 })} ${units[unit]}`;
}

/** Seconds as the largest unit that they fill. */
export function duration(seconds) {
  if (seconds === null) return "never";
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= size) return plural(Math.round((10 * seconds) / size) / 10, unit);
  }
  return plural(seconds, "second");
}

export function plural(amount, noun) {
  return `${count(amount)} ${noun}${amount === 1 ? "" : "s"}`;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** How long ago a time of the service's own (RFC 3339) is. */
export function ago(moment) {
  const seconds = (Date.parse(moment) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return "just now";
}

const RHYTHMS = { s: "by the second", min: "by the minute", h: "hourly", D: "daily", B: "on weekdays", W: "weekly", MS: "monthly", ME: "monthly", QS: "quarterly", QE: "quarterly", YS: "yearly", YE: "yearly" };

/** How often a session observes, and in which zone. */
export function rhythm({ freq, timezone }) {
  if (freq === null) return "steps are counted";
  return `${RHYTHMS[freq] ?? RHYTHMS[freq.split("-")[0]] ?? `every ${freq}`}, in ${timezone}`;
}

/** The time of an observation or forecast; its step where steps are counted. */
export function when(point) {
  return point.timestamp === null ? `step ${count(point.step)}` : point.timestamp.replace("T", " ");
}

function signed(text) {
  return text.replace("-", MINUS);
}
