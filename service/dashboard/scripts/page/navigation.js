/** Moving from view to view by the address. */

let keepsFocus = false;

/** Go to a view; empty parameters are left out. `keepFocus`: whoever moved there goes on typing. */
export function go(path, parameters = {}, { keepFocus = false } = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  const query = new URLSearchParams(given).toString();
  const address = query ? `#${path}?${query}` : `#${path}`;
  if (address === location.hash) return;
  keepsFocus = keepFocus;
  location.hash = address;
}

/** Whether the last move asked that the focus stays; asked once. */
export function takesFocusAlong() {
  const kept = keepsFocus;
  keepsFocus = false;
  return kept;
}
