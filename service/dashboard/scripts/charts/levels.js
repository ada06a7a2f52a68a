/** Intervals of forecasts: a level in percent names two quantiles, keyed by their exact decimals. */

/** The lower and upper end of a level's interval; null where the forecast has none. */
export function bounds(forecast, level) {
  if (!forecast) return null;
  const low = forecast.quantiles[key(100 - level)];
  const high = forecast.quantiles[key(100 + level)];
  return low === undefined || high === undefined ? null : [low, high];
}

/** The levels that any of the forecasts has, the narrowest first. */
export function levelsOf(forecasts) {
  const keys = new Set(forecasts.flatMap((forecast) => Object.keys(forecast?.quantiles ?? {})));
  const lower = [...keys].map(Number).filter((quantile) => quantile < 0.5);
  return lower.map((quantile) => Math.round(100 - 200 * quantile)).sort((a, b) => a - b);
}

/** Half a percentage as the decimal that keys a quantile: 5 is "0.025". */
function key(percentage) {
  return String(percentage / 200);
}
