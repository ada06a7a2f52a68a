"""What can go wrong between a client and the service: one class for each problem that a program may handle."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from hiddenstate.sending.shapes import BatchObservation

FAULTS_SHOWN = 5
GATEWAYS = (502, 503, 504)


class HiddenstateError(Exception):
    """Every error of this package.

    Attributes:
        kept: the observations of the call that raised are kept by the client, which sends them before the next ones of
            their session. Handing them over again would count them twice.
    """

    kept = False


class ServiceUnreachable(HiddenstateError):
    """No answer came: nothing listens there, or the connection was lost.

    What was sent may have been applied; sending the same request again settles it.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}; does the service run there? 'hiddenstate serve' starts one")
        self.url = url
        self.reason = reason


class StreamInterrupted(HiddenstateError):
    """A stream that had begun goes no further; its `__cause__` says why.

    Attributes:
        unsettled: the rows that have no outcome, oldest first, each with its idempotency key. Some may have been
            applied: stream them again as they are, before those that follow, and each counts once.
    """

    def __init__(self, unsettled: Sequence["BatchObservation"]) -> None:
        super().__init__(f"the stream was interrupted; {len(unsettled)} rows have no outcome (see unsettled)")
        self.unsettled = list(unsettled)


class ProblemError(HiddenstateError):
    """The service refused: an RFC 9457 problem.

    Attributes:
        type: what a program branches on, for example "/problems/session-not-found"; each has a class of its own.
        slug: its last part.
        status: the HTTP status.
        title, detail: for people; the detail says what to do next.
        errors: what to mend, each with "detail" and "pointer" (into the body) or "parameter".
        retryable: sending the same request again, unchanged, may succeed.
        members: the whole answer, with the members that this kind of problem adds.
    """

    of_slug: ClassVar[dict[str, "type[ProblemError]"]] = {}

    def __init_subclass__(cls, *, slug: str | None = None) -> None:
        if slug is not None:
            ProblemError.of_slug[slug] = cls

    def __init__(self, status: int, members: Mapping[str, Any]) -> None:
        self.status = status
        self.members = members
        self.type = str(members.get("type", "about:blank"))
        self.slug = self.type.rpartition("/")[2]
        self.title = str(members.get("title", f"HTTP status {status}"))
        self.detail = str(members.get("detail", ""))
        self.errors: list[dict[str, str]] = list(members.get("errors") or [])
        self.retryable = bool(members.get("retryable", False))
        super().__init__(status, members)

    def __str__(self) -> str:
        first = f"{self.title}: {self.detail}" if self.detail else self.title
        told = (f"{where(fault)}: {fault.get('detail', '')}" for fault in self.errors[:FAULTS_SHOWN])
        faults = [fault for fault in told if fault not in first]
        more = len(self.errors) - FAULTS_SHOWN
        return "\n  ".join([first, *faults, *([f"and {more} more"] if more > 0 else [])])


def where(fault: Mapping[str, str]) -> str:
    """The part of a request that a fault names; the whole of it where it names none."""
    return fault.get("parameter") or fault.get("pointer") or "the request"


def problem_of(status: int, members: Mapping[str, Any]) -> ProblemError:
    """The error that a problem document is."""
    slug = str(members.get("type", "")).rpartition("/")[2]
    return ProblemError.of_slug.get(slug, ProblemError)(status, members)


def problem_of_text(status: int, text: str) -> ProblemError:
    """An answer that is no problem document: a proxy in between, or another server at this address."""
    first_line = text.strip().partition("\n")[0][:200]
    members = {"title": f"HTTP status {status}", "detail": first_line, "retryable": status in GATEWAYS}
    return ProblemError(status, members)


class TryAgain(ProblemError):
    """Nothing is wrong with the request: sent again later, unchanged, it may succeed."""


class RequestTimeout(TryAgain, slug="request-timeout"):
    """The request took too long to arrive."""


class RequestInProgress(TryAgain, slug="request-in-progress"):
    """The same request, under the same idempotency key, is being worked on."""


class ConcurrentUpdate(TryAgain, slug="concurrent-update"):
    """Others write to the session all the time."""


class QuotaExceeded(TryAgain, slug="quota-exceeded"):
    """More than this key may ask."""


class Overloaded(TryAgain, slug="overloaded"):
    """Too many requests are waiting."""


class StoreUnavailable(TryAgain, slug="store-unavailable"):
    """The service cannot reach its store."""


class DurabilityUnconfirmed(TryAgain, slug="durability-unconfirmed"):
    """Applied, but the store did not confirm in time that it will last."""


class NotReady(TryAgain, slug="not-ready"):
    """The service is starting or stopping."""


class DeadlineExceeded(TryAgain, slug="deadline-exceeded"):
    """The service gave up waiting; the write may have been applied."""


class InvalidRequest(ProblemError, slug="invalid-request"):
    """`errors` says what to mend."""


class MalformedRequest(ProblemError, slug="malformed-request"):
    """A body, a header or a page token that cannot be read."""


class TooLarge(ProblemError, slug="too-large"):
    """The body is longer than `members["limit"]` bytes."""


class Unauthenticated(ProblemError, slug="unauthenticated"):
    """The API key is missing or unknown."""


class Forbidden(ProblemError, slug="forbidden"):
    """The API key may not do this."""


class NotFound(ProblemError, slug="not-found"):
    """The service has no such call or model."""


class SessionNotFound(ProblemError, slug="session-not-found"):
    """Never created, deleted, or expired."""


class ObservationNotFound(ProblemError, slug="observation-not-found"):
    """The session never had this observation."""


class SessionExists(ProblemError, slug="session-exists"):
    """It has other settings or observations; `members["differences"]` names them."""


class SessionEmpty(ProblemError, slug="session-empty"):
    """No value is known yet, so there is no forecast."""


class ObservationConflict(ProblemError, slug="observation-conflict"):
    """Another observation is stored for this time; `members["stored"]` is its record."""


class OutOfOrder(ProblemError, slug="out-of-order"):
    """Older than the last observation, and equal to none that is retained; `members["last"]` names the last."""


class NotRetained(ProblemError, slug="not-retained"):
    """Too old to be changed; `members["retained_from"]` names the oldest that can be."""


class OffGrid(ProblemError, slug="off-grid"):
    """The timestamp is none of the session's; `members["nearest"]` is."""


class GapRejected(ProblemError, slug="gap-rejected"):
    """Observations are missing before this one, and the session does not impute them."""


class GapTooLong(ProblemError, slug="gap-too-long"):
    """More are missing than the session imputes: `members["missing"]` of `members["max_gap"]`."""


class ResultNotFinite(ProblemError, slug="result-not-finite"):
    """No finite forecast would follow."""


class StateInvalid(ProblemError, slug="state-invalid"):
    """A state was changed or damaged since its export; `errors` names the first member that does not fit."""


class IdempotencyKeyReused(ProblemError, slug="idempotency-key-reused"):
    """The key belongs to another request."""


class PreconditionFailed(ProblemError, slug="precondition-failed"):
    """The session changed since this client last saw it; `members["etag"]` is its present one."""


class PreconditionRequired(ProblemError, slug="precondition-required"):
    """The session takes writes only from who has seen it: ask for it first."""


class StateRegressed(ProblemError, slug="state-regressed"):
    """The store lost the session's latest observations, and the client no longer has all of them.

    Attributes:
        step, last: where the session stands now: the observations after that must be sent again, oldest first.
    """

    @property
    def step(self) -> int:
        return int(self.members["step"])

    @property
    def last(self) -> str | None:
        last: str | None = self.members["last"]
        return last


class ModelMismatch(ProblemError, slug="model-mismatch"):
    """The model of that name is another one than the session was folded with."""


class ModelUnavailable(ProblemError, slug="model-unavailable"):
    """The session's model is not on this service."""


class RecordDamaged(ProblemError, slug="record-damaged"):
    """What is stored of the session cannot be trusted."""
