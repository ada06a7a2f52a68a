"""The page of each problem type: what it means, how it looks, what to do."""

from html import escape
from typing import NamedTuple

import orjson

from service.wire import problems as p
from service.wire import session_problems as s
from service.wire.problems import Fault, ServiceError, Standing

AT = Standing("store-42", 812, "2026-11-21")
DETAIL_ONLY = "4bf92f35"


class Page(NamedTuple):
    """`example` is a problem as it is answered."""

    example: ServiceError
    meaning: str
    cure: str


def _pages(*pages: Page) -> dict[str, Page]:
    return {page.example.slug: page for page in pages}


PAGES = _pages(
    Page(
        p.MalformedRequest("the body is not JSON: Expecting value (column 11)"),
        "The body is not JSON, or a header or page token cannot be read.",
        "Look at the place that the detail names. A page token is only good for the list that gave it.",
    ),
    Page(
        p.Unauthenticated("send a key in the Authorization header, as Bearer KEY"),
        "This service is not open, and the request carries no key that it knows.",
        "Send <code>Authorization: Bearer KEY</code>; ask whoever runs the service for a key.",
    ),
    Page(
        p.Forbidden("this key may read only"),
        "The key is known, but may not do this.",
        "Use a key that may write.",
    ),
    Page(
        p.NotFound("no model weekly; GET /v1/models lists those there are"),
        "There is no such address or model.",
        "<code>/docs</code> lists the addresses, <code>GET /v1/models</code> the models.",
    ),
    Page(
        s.SessionNotFound("store-42"),
        "There is no session with this id. It was never created, was deleted, or expired: these are the same. "
        "A session is never silently started from nothing.",
        "Create it with PUT and its history, or let the first observation create it with <code>?create=true</code>.",
    ),
    Page(
        s.SequenceNotStarted("42", "daily"),
        "A request of <code>/v2</code> continues a sequence that is not here. It was never started, was ended, or "
        "expired: these are the same. A sequence is never silently started from nothing.",
        "Send <code>sequence_start</code> with its first request. A sequence is a session: "
        "<code>PUT /v1/sessions/ID</code> starts it too, with its history.",
    ),
    Page(
        s.ObservationNotFound("session store-42 holds no observation of that time; its last is 2026-11-21", at=AT),
        "The session never had an observation of this time or step.",
        "Send it with POST, or look in <code>GET /v1/sessions/ID/observations</code> for the right key.",
    ),
    Page(
        p.MethodNotAllowed(["GET", "PUT"]),
        "The address exists, but not for this method.",
        "Use one of the methods in the <code>Allow</code> header.",
    ),
    Page(
        p.UpgradeRequired("this is the address of a WebSocket: connect to it with ws:// or wss://"),
        "A WebSocket is opened at this address, and the request is an ordinary one.",
        "Connect with a WebSocket client. For single requests there are <code>POST /v1/observations:batch</code> and "
        "<code>POST /v1/sessions/ID/observations</code>.",
    ),
    Page(
        p.NotAcceptable(["application/json"]),
        "The Accept header names nothing that this address can answer with.",
        "Leave Accept out, or name one of the media types in the detail.",
    ),
    Page(
        p.RequestTimeout("the body did not arrive in time"),
        "The body stopped arriving before it was complete. Nothing was applied.",
        "Send the same request again.",
    ),
    Page(
        s.SessionExists(AT, ["freq", "observations"]),
        "PUT creates, and so does POST with <code>?create=true</code>, and a session of this id exists with other "
        "settings or other first observations than those given.",
        "PATCH changes settings, POST adds observations, DELETE forgets the session. "
        "<code>differences</code> names what differs.",
    ),
    Page(
        s.ObservationConflict(AT, "2026-11-21", {"step": 812, "timestamp": "2026-11-21", "value": 121.5}),
        "The session already holds an observation of this time, with another value, other covariates or another "
        "<code>future</code>: <code>errors</code> points to what differs, <code>stored</code> is what it holds. Or the "
        "request itself gives two observations for one time, and <code>stored</code> is null.",
        "If the new one is right, such as a newer weather forecast in <code>future</code>, correct the stored one "
        "with PATCH, or send with <code>?on_conflict=correct</code>.",
    ),
    Page(
        s.OutOfOrder(AT),
        "The observation is older than the last one, and equals none that is retained.",
        "Send observations oldest first. An older one that is retained can be corrected with PATCH.",
    ),
    Page(
        s.NotRetained(AT, "2026-09-19"),
        "The observation was folded, but is too old to be changed: the session retains a tail of its history. Or the "
        "session was to get another model, and retains nothing that it could fold.",
        "Create the session again with the right history, or raise <code>history</code> for the future. For another "
        "model, reset the session first, or create it again.",
    ),
    Page(
        s.StateRegressed(AT),
        "The store stands before a commit that had been acknowledged, as the ETag sent proves: a failover of the store "
        "lost its latest writes.",
        "Send the observations after <code>last</code> again, in order, the first one without If-Match.",
    ),
    Page(
        s.SessionEmpty(AT._replace(step=0, last=None)),
        "There is no forecast before a first value is known.",
        "Send an observation that is not null.",
    ),
    Page(
        s.ModelMismatch(AT, "daily@1", expected="sha256:9a41", found="sha256:77c0"),
        "The session's state belongs to a model with another fingerprint than the one of that name and version here.",
        "Deploy the model with the fingerprint <code>expected</code>, or PATCH the session to a model that is here: "
        "what is retained is folded again.",
    ),
    Page(
        s.ModelUnavailable(AT, "daily@1"),
        "The model version that the session is pinned to is not on this server. The session stays as it is.",
        "Put the model's folder back, or PATCH the session to another model: what is retained is folded again.",
    ),
    Page(
        s.RecordDamaged("store-42"),
        "What the store holds for this session fails its checksum, so nothing is computed from it.",
        "Delete the session and create it again with its history. Then find out who else writes to the store.",
    ),
    Page(
        s.RequestInProgress("a request with this Idempotency-Key is in progress", at=AT),
        "A request with the same idempotency key has not been answered yet.",
        "Wait <code>Retry-After</code> seconds and send the same request again: it finds the answer of the first.",
    ),
    Page(
        s.ConcurrentUpdate(AT),
        "Several writers change this session at once, and this request lost each time. It was not applied.",
        "Send the same request again. One writer a session avoids it.",
    ),
    Page(
        s.PreconditionFailed(AT, "6f1c0a0000000000-813"),
        "The session changed since the ETag in If-Match was answered. Nothing was applied.",
        "GET the session, decide, and send again with the current <code>etag</code>.",
    ),
    Page(
        p.TooLarge(8 * 2**20),
        "The body is longer than <code>limit</code> bytes, after decompression.",
        "Send a long history in parts: the first with PUT, the rest with POST. The forecasts are the same to the bit; "
        "with covariates that are known in advance, give the last observation of each part its <code>future</code>.",
    ),
    Page(
        p.UnsupportedMediaType("Content-Type is missing: send application/json, for example with curl --json"),
        "The body is not declared as JSON, or its Content-Encoding is none that is read here.",
        "Send <code>Content-Type: application/json</code>; <code>curl --json</code> does. "
        "Compress with gzip or not at all.",
    ),
    Page(
        p.InvalidRequest(
            [Fault("must be finite", "/3/value"), Fault("unknown key; did you mean timestamp?", "/3/timestmp")]
        ),
        "The request can be read, but something in it must be mended.",
        "<code>errors</code> lists where (a JSON pointer into the body, or the name of a parameter or header) "
        "and what.",
    ),
    Page(
        s.OffGrid(AT, freq="D", timezone="UTC", nearest="2026-11-22"),
        "The timestamp is none of those that the session's freq, timezone and first timestamp make.",
        "Send the timestamp in <code>nearest</code> if that is meant. If whole days are shifted, the session was "
        "created with another timezone than yours.",
    ),
    Page(
        s.GapRejected(AT, missing=3),
        'Observations are missing before this one, and the session was created with <code>"gaps": "reject"</code>.',
        "Send the missing ones first, with <code>null</code> where there is no value.",
    ),
    Page(
        s.GapTooLong(AT, missing=365, max_gap=32),
        "More observations are missing before this one than the session imputes. Often the year is mistyped.",
        "Check the date. Send the missing ones, or raise <code>max_gap</code> with PATCH. Of a session that is not "
        "there yet, PUT the whole history: within it, longer gaps are imputed.",
    ),
    Page(
        s.IdempotencyKeyReused(AT),
        "The idempotency key was used for a request with another payload.",
        "Use a new key for each new request, and the same key only to send the same request again.",
    ),
    Page(
        s.StateInvalid("checksum: it is not that of the state", at=AT),
        "The state to import fails a check. The detail names the first member that does.",
        "Export it again, and move the file without changing it.",
    ),
    Page(
        s.ResultNotFinite(AT),
        "From this value no finite forecast follows. Nothing was stored. Of a list, <code>errors</code> points to the "
        "first such value.",
        "Check the value and its unit.",
    ),
    Page(
        s.PreconditionRequired(AT),
        "The session was set to <code>require_if_match</code>, and the request has no If-Match header.",
        "Send <code>If-Match</code> with the <code>etag</code> of the session's last answer.",
    ),
    Page(
        p.QuotaExceeded("more requests than this key may send"),
        "This key sends more than it may.",
        "Wait <code>Retry-After</code> seconds and send the same request again.",
    ),
    Page(
        p.Internal(f"request {DETAIL_ONLY}"),
        "A fault of the service. Whether the request was applied is unknown.",
        "Send the same request again to find out. Report the id in the detail to whoever runs the service.",
    ),
    Page(
        p.Overloaded("8192 observations are waiting"),
        "More requests are waiting than the service takes. This one was not applied.",
        "Wait <code>Retry-After</code> seconds and send the same request again.",
    ),
    Page(
        p.StoreUnavailable("the store does not answer"),
        "The store did not take the request. Nothing was changed.",
        "Wait <code>Retry-After</code> seconds and send the same request again.",
    ),
    Page(
        p.DurabilityUnconfirmed("store-42"),
        "The request was applied, but the store did not confirm in time that it is safe on disk or on a replica.",
        "Send the same request again: it finds what was applied, and confirms it. A bare value, without timestamp, "
        "step, Idempotency-Key or If-Match, cannot be found and would be folded again: leave it, since it was applied, "
        "and send the next one with a key.",
    ),
    Page(
        p.NotReady(["starting"]),
        "The service is starting or stopping. <code>reasons</code> says which.",
        "Wait <code>Retry-After</code> seconds and send the same request again.",
    ),
    Page(
        p.DeadlineExceeded("no answer within 5 s"),
        "Time was up. Whether the request was applied is unknown.",
        "Send the same request again: if it was applied, the answer is a replay and nothing is applied twice. Only a "
        "bare value, without timestamp, step, Idempotency-Key or If-Match, cannot be recognised: look at the session's "
        "<code>step</code> before you send it again, and give the next one a key.",
    ),
)


def render(slug: str) -> str | None:
    """The page of a problem type as HTML; None where there is no such type."""
    page = PAGES.get(slug)
    if page is None:
        return None
    example = page.example
    body = orjson.dumps(example.body(DETAIL_ONLY), option=orjson.OPT_INDENT_2).decode()
    again = "Send the same request again, unchanged, after Retry-After." if example.retryable else "Not as it is."
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(example.title)}</title>\n'
        f"<h1>{escape(example.title)}</h1>\n<p><code>/problems/{slug}</code>, status {example.status}</p>\n"
        f"<h2>Meaning</h2>\n<p>{page.meaning}</p>\n<h2>Cure</h2>\n<p>{page.cure}</p>\n"
        f"<h2>Retry?</h2>\n<p>{again}</p>\n<h2>Example</h2>\n<pre>{escape(body)}</pre>\n</html>\n"
    )
