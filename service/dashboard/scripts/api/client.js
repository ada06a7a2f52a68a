/** Calls of the API. Each throws Problem where the service refuses, Unreachable where it does not answer. */

import { authorization } from "./key.js";
import { Unreachable, problemOf } from "./problem.js";

const LARGEST_PAGE = 1000;

/** Says "key-needed" whenever the service refuses a call for want of a key. */
export const gate = new EventTarget();

/** A new Idempotency-Key: the same one goes with each retry of the same request. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const api = {
  status: (signal) => read("/v1/status", {}, signal),
  models: (signal) => read("/v1/models", {}, signal),
  model: (name, signal) => read(`/v1/models/${encodeURIComponent(name)}`, {}, signal),
  sessions: (query, signal) => read("/v1/sessions", query, signal),
  session: (id, signal) => read(path(id), {}, signal),
  forecast: (id, query, signal) => read(`${path(id)}/forecast`, query, signal),

  /** The latest observations that are retained, oldest first. */
  async observations(id, signal) {
    const query = { page_size: LARGEST_PAGE, order_by: "step desc" };
    return (await read(`${path(id)}/observations`, query, signal)).observations.reverse();
  },

  create: (id, settings) => write("PUT", path(id), settings),
  observe: (session, observation, key) =>
    write("POST", `${path(session.session)}/observations`, observation, conditions(session, key)),
  correct: (session, at, change, key) =>
    write("PATCH", `${path(session.session)}/observations/${encodeURIComponent(at)}`, change, conditions(session, key)),
  reset: (session, key) => write("POST", `${path(session.session)}:reset`, undefined, conditions(session, key)),

  /** The picture of a model's training curve as a data URL; null where the model has none. */
  async curve(name, signal) {
    const response = await send(`/v1/models/${encodeURIComponent(name)}/curve`, { headers: authorization(), signal });
    if (response.status === 404) return null;
    if (!response.ok) throw await refusal(response);
    return dataUrl(await response.blob());
  },
};

function path(id) {
  return `/v1/sessions/${encodeURIComponent(id)}`;
}

/** If-Match only where the session asks for it: others may write to it meanwhile. */
function conditions(session, key) {
  return { "Idempotency-Key": key, ...(session.require_if_match ? { "If-Match": `"${session.etag}"` } : {}) };
}

async function read(address, query, signal) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const text = new URLSearchParams(given).toString();
  return json(await send(text ? `${address}?${text}` : address, { headers: authorization(), signal }));
}

async function write(method, address, body, headers = {}) {
  const declared = body === undefined ? {} : { "Content-Type": "application/json" };
  return json(
    await send(address, {
      method,
      headers: { ...headers, ...declared, ...authorization() },
      body: body === undefined ? undefined : JSON.stringify(body),
    }),
  );
}

async function json(response) {
  if (!response.ok) throw await refusal(response);
  return response.json();
}

async function refusal(response) {
  if (response.status === 401) gate.dispatchEvent(new Event("key-needed"));
  return problemOf(response);
}

async function send(address, options) {
  try {
    return await fetch(address, { ...options, redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
