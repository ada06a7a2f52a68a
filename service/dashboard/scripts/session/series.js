/** What a session page shows: the session, its retained observations, and the fan ahead; kept up with its events. */

import { api } from "../api/client.js";

/** Levels of the fan, where the model has them. */
const FAN_LEVELS = [50, 80, 95];
/** Most that is kept of what was observed. */
const LONGEST = 1000;
/** At least so long between two readings, however fast observations come. */
const PAUSE_MS = 200;

/** Says "change" whenever something of it changed, and "failure" (the error is `detail`) where reading failed. */
export class Series extends EventTarget {
  session = null;
  model = null;
  observations = [];
  /** Forecasts of the steps ahead, nearest first; empty before a first value is known. */
  fan = [];
  #id;
  #signal;
  #reading = false;
  /** What is to be read after the present reading: "ahead" or "all". */
  #due = null;

  constructor(id, signal) {
    super();
    this.#id = id;
    this.#signal = signal;
  }

  get isReading() {
    return this.#reading;
  }

  /** Read all of it a first time. Throws what the calls throw. */
  async read() {
    this.#reading = true;
    try {
      await this.#readAll();
    } finally {
      this.#reading = false;
    }
    if (this.#due) this.#behind(this.#due);
  }

  /** Read all of it again, behind what is shown, or after the present reading. */
  refresh() {
    this.#behind("all");
  }

  async #readAll() {
    const [session, observations] = await Promise.all([
      api.session(this.#id, this.#signal),
      api.observations(this.#id, this.#signal),
    ]);
    await this.#take(session, observations);
  }

  /** Take an Advance in: at once where it is the next step, by reading again where it is something else. */
  advance({ observed, forecast, step, etag, applied, imputed, corrected }) {
    if (this.session === null) {
      this.refresh();
      return;
    }
    if (!isLater(etag, this.session.etag) && isSameLife(etag, this.session.etag)) return;
    if (step !== this.session.step + 1 || applied !== 1 || imputed || corrected) {
      this.refresh();
      return;
    }
    const before = this.observations.filter((record) => record.step < step);
    this.observations = [...before, observed].slice(-this.#kept());
    this.fan = this.fan.filter((point) => point.step > step);
    if (!this.fan.length && forecast) this.fan = [forecast];
    const next = forecast?.timestamp ?? null;
    this.session = { ...this.session, step, etag, last: observed.timestamp, next };
    this.dispatchEvent(new Event("change"));
    this.#behind("ahead");
  }

  /** The scores and the fan alone, where what was observed is known. */
  async #readAhead() {
    const session = await api.session(this.#id, this.#signal);
    const last = this.observations.at(-1)?.step ?? 0;
    if (session.history !== 0 && session.step > Math.max(last, this.session.step)) return this.#readAll();
    await this.#take(session, this.observations);
  }

  async #take(session, observations) {
    if (this.model?.model !== session.model) this.model = await this.#named(session.model);
    const fan = await this.#ahead(session);
    Object.assign(this, this.#keeping({ session, observations, fan }));
    this.dispatchEvent(new Event("change"));
  }

  /** What was read, with what came while it was read and is on show already. */
  #keeping(read) {
    const shown = this.session;
    if (shown === null || !isSameLife(shown.etag, read.session.etag)) return read;
    const known = read.observations.at(-1)?.step ?? 0;
    const observations = [...read.observations, ...this.observations.filter((record) => record.step > known)];
    if (!isLater(shown.etag, read.session.etag)) return { ...read, observations };
    const { step, etag, last, next } = shown;
    const fan = read.fan.filter((point) => point.step > step);
    return { session: { ...read.session, step, etag, last, next }, observations, fan: fan.length ? fan : this.fan };
  }

  async #named(name) {
    try {
      return await api.model(name, this.#signal);
    } catch (error) {
      if (error.is?.("not-found")) return null;
      throw error;
    }
  }

  async #ahead(session) {
    if (this.model === null || session.step === 0) return [];
    const levels = FAN_LEVELS.filter((level) => this.model.levels.includes(level)).join(",");
    try {
      return (await api.forecast(this.#id, { horizon: this.model.horizon, levels }, this.#signal)).forecasts;
    } catch (error) {
      if (error.is?.("session-empty") || error.is?.("model-mismatch")) return [];
      throw error;
    }
  }

  /** One reading at a time; whatever is asked for meanwhile is one more reading after it. */
  async #behind(what) {
    this.#due = this.#due === "all" ? "all" : what;
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#due && !this.#signal.aborted) {
        const due = this.#due;
        this.#due = null;
        await (due === "all" ? this.#readAll() : this.#readAhead());
        if (this.#due) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    } catch (error) {
      if (!this.#signal.aborted) this.dispatchEvent(new CustomEvent("failure", { detail: error }));
    } finally {
      this.#reading = false;
    }
  }

  #kept() {
    const { history } = this.session;
    return history === "full" ? LONGEST : Math.min(Math.max(history, 1), LONGEST);
  }
}

/** Whether an ETag is of a later commit than another one of the same life of the session: until it is reset. */
function isLater(etag, than) {
  return isSameLife(etag, than) && Number(etag.split("-")[1]) > Number(than.split("-")[1]);
}

function isSameLife(etag, other) {
  return etag.split("-")[0] === other.split("-")[0];
}
