/** Where points stand on the axis: at their time in the session's zone, or at their step. */

/** @param {{freq: string|null, timezone: string}} session */
export function timeOf(session) {
  if (session.freq === null) return { time: false, at: (point) => point.step };
  return { time: true, at: (point) => seconds(point.timestamp), zone: zoneOf(session) };
}

/** A date alone is drawn as its midnight in UTC, and read there again, whatever the zone. */
function seconds(timestamp) {
  return Date.parse(timestamp.length === 10 ? `${timestamp}T00:00:00Z` : timestamp) / 1000;
}

function zoneOf({ last, timezone }) {
  const zone = last?.length === 10 ? "UTC" : timezone;
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return "UTC";
  }
}

/** What uPlot needs to draw times in a zone. */
export function inZone(zone) {
  return zone ? { tzDate: (at) => globalThis.uPlot.tzDate(new Date(at * 1000), zone) } : {};
}
