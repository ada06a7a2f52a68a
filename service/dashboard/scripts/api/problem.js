/** Why a call did not succeed. */

/** The service refused. `body` is what it said (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `status ${status}`);
    this.status = status;
    this.title = body.title ?? `Status ${status}`;
    this.page = typeof body.type === "string" && body.type.startsWith("/problems/") ? body.type : null;
    this.errors = body.errors ?? [];
    this.reasons = body.reasons ?? [];
    this.retryable = body.retryable ?? false;
  }

  get needsKey() {
    return this.status === 401;
  }

  is(slug) {
    return this.page === `/problems/${slug}`;
  }
}

/** No answer came. */
export class Unreachable extends Error {
  constructor() {
    super("The service did not answer. It may be stopped or restarting, or the network is gone.");
    this.title = "No answer";
    this.page = null;
    this.errors = [];
    this.reasons = [];
    this.retryable = true;
    this.needsKey = false;
  }

  is() {
    return false;
  }
}

/** What a response that is no success says. */
export async function problemOf(response) {
  const text = await response.text();
  try {
    return new Problem(response.status, JSON.parse(text));
  } catch {
    return new Problem(response.status, { title: `Status ${response.status}`, detail: text.slice(0, 200) });
  }
}
