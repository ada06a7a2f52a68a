/** Addresses of views: the part after #, so that links can be shared and the browser's history works. */

import { healthView } from "./health/view.js";
import { modelView, modelsView } from "./models/view.js";
import { sessionView } from "./session/view.js";
import { sessionsView } from "./sessions/view.js";

const ROUTES = [
  [/^\/sessions$/, "sessions", sessionsView],
  [/^\/sessions\/([A-Za-z0-9._~-]{1,128})$/, "sessions", sessionView],
  [/^\/models$/, "models", modelsView],
  [/^\/models\/([a-z0-9@._-]+)$/, "models", modelView],
  [/^\/health$/, "health", healthView],
];
const HOME = "/sessions";

/** The view that an address names: {section, view, id, query}; null where there is none. */
export function resolve(hash) {
  const [path, query = ""] = (hash.slice(1) || HOME).split("?");
  for (const [pattern, section, view] of ROUTES) {
    const found = pattern.exec(path === "/" ? HOME : path);
    if (found) return { section, view, id: found[1], query: new URLSearchParams(query) };
  }
  return null;
}
