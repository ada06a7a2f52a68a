/** The page's one event stream. It is opened again whenever it ends, from where it was. */

import { eventsOf } from "./events.js";
import { authorization } from "./key.js";
import { problemOf } from "./problem.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
/** A session that nobody has: to stay connected without hearing of any. */
export const NOBODY = "session=~";
/** The service sends a comment at least every 15 seconds; a connection that stays silent for longer is dead. */
const SILENCE_MS = 40_000;

/**
 * Says "state" whenever `state` changes (connecting, live, waiting, locked, resting), "event" with {type, data} as `detail`, and
 * "lost" where something may have been missed, also before the first event: what is shown must then be read again.
 */
export class Live extends EventTarget {
  state = "connecting";
  #followed = null;
  #lastId = null;
  #attempt = null;
  #wake = () => {};

  /** Listen to what a query names (`session=ID` or `prefix=`) instead of what was listened to before. */
  follow(query) {
    if (query === this.#followed) return;
    this.#followed = query;
    this.#lastId = null;
    this.reopen();
  }

  /** Open the stream anew, at once. */
  reopen() {
    if (this.#followed === null) return;
    this.#attempt?.abort();
    this.#attempt = new AbortController();
    this.#run(this.#followed, this.#attempt);
  }

  /** Give the connection back until it is opened anew, from where it was. */
  rest() {
    this.#become("resting", this.#attempt);
    this.#attempt.abort();
  }

  /** Do not wait any longer for the next attempt. */
  hurry() {
    this.#wake();
  }

  async #run(query, attempt) {
    let wait = FIRST_WAIT_MS;
    while (!attempt.signal.aborted) {
      const connection = new AbortController();
      this.#become("connecting", attempt);
      try {
        const body = await this.#open(query, AbortSignal.any([attempt.signal, connection.signal]));
        this.#become("live", attempt);
        wait = FIRST_WAIT_MS;
        if (this.#lastId === null) this.dispatchEvent(new Event("lost"));
        await this.#deliver(body, attempt);
      } catch (error) {
        if (attempt.signal.aborted) return;
        if (error.needsKey) return this.#become("locked", attempt);
      } finally {
        connection.abort();
      }
      this.#become("waiting", attempt);
      await this.#pause(wait * (0.75 + Math.random() / 2));
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    }
  }

  async #open(query, signal) {
    const resumed = this.#lastId === null ? {} : { "Last-Event-ID": this.#lastId };
    const response = await fetch(`/v1/events?${query}`, {
      headers: { Accept: "text/event-stream", ...resumed, ...authorization() },
      cache: "no-store",
      signal,
    });
    if (!response.ok) throw await problemOf(response);
    return response.body;
  }

  /** Hand on what arrives, until the stream ends or falls silent. */
  async #deliver(body, attempt) {
    const events = eventsOf(body);
    for (;;) {
      const { done, value: event } = await within(SILENCE_MS, events.next());
      if (done || attempt.signal.aborted) return;
      if (event === null) continue;
      if (event.id !== null) this.#lastId = event.id;
      if (event.type === "gap") this.dispatchEvent(new Event("lost"));
      else if (event.type === "close") return;
      else if (event.data !== null) this.#hand(event);
    }
  }

  #hand({ type, data }) {
    this.dispatchEvent(new CustomEvent("event", { detail: { type, data: JSON.parse(data) } }));
  }

  #become(state, attempt) {
    if (attempt.signal.aborted || state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("silent")), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
