"""Why a session refuses a request: one class a problem type."""

from collections.abc import Mapping, Sequence

from service.wire.problems import Fault, Retryable, ServiceError, Standing


class SessionNotFound(ServiceError):
    """Unknown, expired and deleted are the same to a client."""

    status, slug, title = 404, "session-not-found", "Session not found"

    def __init__(self, session: str) -> None:
        super().__init__(
            f"no session {session}: it was never created, was deleted, or expired; create it with "
            f"PUT /v1/sessions/{session} and its history, or add ?create=true to the POST",
            at=Standing(session),
        )


class SequenceNotStarted(ServiceError):
    """The session that a request of /v2 continues is not there: unknown, expired and deleted are the same.

    The detail has the words by which clients of the protocol recognise it.
    """

    status, slug, title = 400, "sequence-not-started", "Sequence not started"

    def __init__(self, session: str, model: str) -> None:
        super().__init__(
            f"inference request for sequence {session} to model {model} must specify the START flag on the first "
            "request of the sequence: it was never started, was ended, or expired",
            at=Standing(session),
        )


class ObservationNotFound(ServiceError):
    """The session never had this observation."""

    status, slug, title = 404, "observation-not-found", "Observation not found"


UNCHANGING = {"freq", "timezone", "static"}
"""Settings that a session keeps for its life."""


class SessionExists(ServiceError):
    """`differences` are the names of the settings that differ, "observations", or, of a state to import, "state"."""

    status, slug, title = 409, "session-exists", "Session exists with other settings or observations"

    def __init__(
        self, at: Standing, differences: Sequence[str], cure: str = "PATCH changes settings, POST adds observations"
    ) -> None:
        if fixed := [name for name in differences if name in UNCHANGING]:
            cure = f"{' and '.join(fixed)} cannot change, so take another id, or DELETE this session first"
        super().__init__(
            f"session {at.session} exists and differs in {', '.join(differences)}: {cure}",
            at=at,
            differences=list(differences),
        )


class ObservationConflict(ServiceError):
    """Another observation is stored for this time or step, `key` in a path; `stored` is its Record.

    Without one, it is this request itself that gives two.
    """

    status, slug, title = 409, "observation-conflict", "Another observation is stored for this time"

    def __init__(
        self, at: Standing, key: str, stored: Mapping[str, object] | None, errors: Sequence[Fault] = ()
    ) -> None:
        super().__init__(
            f"the request gives two observations for {key}; send one of them"
            if stored is None
            else f"session {at.session} already holds another observation for {key}; correct it with "
            f"PATCH /v1/sessions/{at.session}/observations/{key}",
            at=at,
            errors=errors,
            stored=stored,
        )


class OutOfOrder(ServiceError):
    """The observation is older than the last one folded, and equals none that is retained.

    Args:
        listed: JSON pointer to it, where the one that it should have stood before is of the same request.
    """

    status, slug, title = 409, "out-of-order", "Observation out of order"

    def __init__(self, at: Standing, errors: Sequence[Fault] = (), *, listed: str | None = None) -> None:
        held = at.last if at.last is not None else f"step {at.step}"
        super().__init__(
            f"the observation {listed} is not later than those before it in the list; send them oldest first"
            if listed is not None
            else f"session {at.session} already holds {held}; correct it with PATCH, or send a later one",
            at=at,
            errors=errors,
        )


class NotRetained(ServiceError):
    """Folded, but too old to be changed; `retained_from` is the oldest that can be (written form or step).

    Or nothing is retained that another model could fold.
    """

    status, slug, title = 409, "not-retained", "Observation no longer retained"

    def __init__(
        self,
        at: Standing,
        retained_from: str | int | None,
        errors: Sequence[Fault] = (),
        cure: str = "a longer `history` retains more",
    ) -> None:
        retained = "none" if retained_from is None else f"those from {retained_from} on"
        super().__init__(
            f"session {at.session} retains {retained}; {cure}",
            at=at,
            errors=errors,
            retained_from=retained_from,
        )


class StateRegressed(ServiceError):
    """The store stands before a commit that was acknowledged: a failover lost the tail."""

    status, slug, title = 409, "state-regressed", "The store lost the latest observations"

    def __init__(self, at: Standing) -> None:
        after = at.last if at.last is not None else f"step {at.step}"
        super().__init__(
            f"session {at.session} stands before the ETag sent: the store lost the tail; send the observations after "
            f"{after} again, the first without If-Match",
            at=at,
        )


class SessionEmpty(ServiceError):
    """There is no forecast before a first value."""

    status, slug, title = 409, "session-empty", "No value is known yet"

    def __init__(self, at: Standing) -> None:
        super().__init__(f"session {at.session} has no value yet; POST an observation first", at=at)


class ModelMismatch(ServiceError):
    """The state belongs to another model than the one of this name here; both fingerprints are given."""

    status, slug, title = 409, "model-mismatch", "Fingerprints differ"

    CURE = "deploy that one, or PATCH the session to a model that is here"

    def __init__(self, at: Standing, model: str, *, expected: str, found: str, cure: str = CURE) -> None:
        super().__init__(
            f"{model} here is not the model that session {at.session} was folded with; {cure}",
            at=at,
            expected=expected,
            found=found,
        )


class ModelUnavailable(ServiceError):
    """The session's model is not on this server: the session stays as it is."""

    status, slug, title = 409, "model-unavailable", "Model not available"

    CURE = "put its folder back, or PATCH the session to another model"

    def __init__(self, at: Standing, model: str, cure: str = CURE) -> None:
        super().__init__(f"session {at.session} needs {model}, which this server does not have; {cure}", at=at)


class RecordDamaged(ServiceError):
    """The stored record fails its checksum: it is answered to nobody."""

    status, slug, title = 409, "record-damaged", "Stored record damaged"

    def __init__(self, session: str) -> None:
        super().__init__(
            f"the stored record of session {session} fails its checksum; DELETE the session and create it again with "
            "its history",
            at=Standing(session),
        )


class RequestInProgress(Retryable):
    """A request with the same idempotency key is being worked on."""

    status, slug, title = 409, "request-in-progress", "The same request is in progress"


class ConcurrentUpdate(Retryable):
    """Others changed the session at the same time, several times over."""

    status, slug, title = 503, "concurrent-update", "The session changed meanwhile"

    def __init__(self, at: Standing | None = None) -> None:
        super().__init__(
            "others changed the session at the same time, several times over, and nothing was applied; send this again",
            at=at,
        )


class PreconditionFailed(ServiceError):
    """If-Match names another state than the stored one; `etag` is the stored one's (null where there is none)."""

    status, slug, title = 412, "precondition-failed", "The session has another ETag"

    def __init__(self, at: Standing, etag: str | None) -> None:
        super().__init__(
            f"session {at.session} changed since the ETag in If-Match; GET it, decide, and send with its current ETag",
            at=at,
            etag=etag,
        )
        self.etag = etag

    def headers(self) -> dict[str, str]:
        return {"ETag": f'"{self.etag}"'} if self.etag is not None else {}


class PreconditionRequired(ServiceError):
    """The session was set to `require_if_match`."""

    status, slug, title = 428, "precondition-required", "If-Match required"

    def __init__(self, at: Standing) -> None:
        super().__init__(
            f"session {at.session} requires If-Match; send the etag of its last answer",
            at=at,
            errors=[Fault("required by this session", parameter="If-Match")],
        )


class OffGrid(ServiceError):
    """The timestamp is none of the session's freq; `nearest` is the closest that is, in its written form."""

    status, slug, title = 422, "off-grid", "Timestamp off the grid"

    def __init__(self, at: Standing, *, freq: str, timezone: str, nearest: str, errors: Sequence[Fault] = ()) -> None:
        super().__init__(
            f"the timestamp is not on the {freq} grid of session {at.session} in its timezone {timezone}; the nearest "
            f"that is: {nearest}",
            at=at,
            errors=errors,
            nearest=nearest,
        )


class GapRejected(ServiceError):
    """The session is set to reject gaps, and there is one before this observation."""

    status, slug, title = 422, "gap-rejected", "Observations are missing before this one"

    def __init__(self, at: Standing, *, missing: int, errors: Sequence[Fault] = ()) -> None:
        super().__init__(
            f"{missing} observations are missing before this one, and session {at.session} rejects gaps; send them "
            'first, with "value": null where there is none',
            at=at,
            errors=errors,
            missing=missing,
        )


class GapTooLong(ServiceError):
    """More steps are missing than are imputed: in a session, in one that is not there yet, or within one PUT."""

    status, slug, title = 422, "gap-too-long", "Too many observations are missing before this one"

    SESSION = "max_gap; check the date, send them, or raise max_gap with PATCH"
    NEW = (
        "the max_gap of a new session; check the date, send them, or create the session with PUT and these "
        "observations, between which longer gaps are imputed"
    )
    HISTORY = (
        "may be imputed within one PUT (the server's setting warm_up_gap_limit); check the date, or send them, with "
        '"value": null where there is none'
    )

    def __init__(
        self, at: Standing, *, missing: int, max_gap: int, than: str = SESSION, errors: Sequence[Fault] = ()
    ) -> None:
        super().__init__(
            f"{missing} observations are missing before this one, more than {than}",
            at=at,
            errors=errors,
            missing=missing,
            max_gap=max_gap,
        )


class IdempotencyKeyReused(ServiceError):
    """The key belongs to a request with another payload."""

    status, slug, title = 422, "idempotency-key-reused", "Idempotency key used for another request"

    def __init__(self, at: Standing) -> None:
        super().__init__(
            "this Idempotency-Key was used for another payload; use a new key for each new request",
            at=at,
            errors=[Fault("belongs to another payload", parameter="Idempotency-Key")],
        )


class StateInvalid(ServiceError):
    """A state to import fails a check; the detail names the first member that does."""

    status, slug, title = 422, "state-invalid", "State invalid"


class ResultNotFinite(ServiceError):
    """The model's answer would not be finite; nothing was stored."""

    status, slug, title = 422, "result-not-finite", "No finite forecast follows"

    def __init__(self, at: Standing, source: str = "this value", errors: Sequence[Fault] = ()) -> None:
        super().__init__(
            f"no finite forecast follows from {source}, and nothing was stored; check its unit", at=at, errors=errors
        )

    @classmethod
    def after(cls, at: Standing, where: str) -> "ResultNotFinite":
        """The refusal of an observation of a request, by its JSON pointer."""
        source = f"the observation {where}" if where else "this value"
        return cls(at, source, [Fault("no finite forecast follows from it", where)])
