/** Real weather, replayed day by day through the API: the latest part one observation every half second. */

import { api, newKey } from "../api/client.js";

export const SESSION = "demo-seattle";
const DAYS_REPLAYED = 120;
const EVERY_MS = 500;
const SETTINGS = { freq: "D", history: 180 };

/** Says "change" whenever it went on, ended or failed. */
class Replay extends EventTarget {
  running = false;
  error = null;
  #days = null;

  /** Start the demo's session with the years before, and go on with it. */
  async begin() {
    const days = await this.#read();
    await api.create(SESSION, { ...SETTINGS, observations: days.slice(0, -DAYS_REPLAYED) });
    this.resume(await api.session(SESSION));
  }

  /** Go on after the last day that the session has. */
  async resume(session) {
    if (this.running) return;
    this.#become(true, null);
    try {
      for (const day of await this.remaining(session)) {
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
        if (!this.running) return;
        await api.observe(session, day, newKey());
      }
      this.#become(false, null);
    } catch (error) {
      this.#become(false, error);
    }
  }

  pause() {
    this.#become(false, null);
  }

  /** The days of the series that the session does not have yet; none where it holds something else. */
  async remaining(session) {
    if (session.session !== SESSION || session.last === null) return [];
    const days = await this.#read();
    const last = days.findIndex((day) => day.timestamp === session.last);
    return last < 0 ? [] : days.slice(last + 1);
  }

  async #read() {
    if (this.#days === null) {
      const { first, values } = await (await fetch("/dashboard/demo.json")).json();
      const start = Date.parse(`${first}T00:00:00Z`);
      this.#days = values.map((value, index) => ({ timestamp: day(start, index), value }));
    }
    return this.#days;
  }

  #become(running, error) {
    this.running = running;
    this.error = error;
    this.dispatchEvent(new Event("change"));
  }
}

/** The page's one replay: it goes on while other views are shown. */
export const replay = new Replay();

function day(start, index) {
  return new Date(start + index * 86_400_000).toISOString().slice(0, 10);
}
