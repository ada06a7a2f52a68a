"""What waits for a wave, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from service.storage.answers import Answer, Label
from service.wire import render, schemas
from service.wire.parsing import Observation
from service.wire.problems import AGAIN, LOOK_FIRST
from service.wire.schemas import Correction, SessionPatch, SessionSettings

NO_DIGEST = bytes(8)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the headers of a write ask for: If-Match, and the token and payload digest of its Idempotency-Key."""

    if_match: tuple[str, ...] | None = None
    token: bytes | None = None
    digest: bytes = NO_DIGEST


class Write(msgspec.Struct, frozen=True):  # made ten times as fast as a frozen dataclass
    """One request that changes one session.

    Args:
        token, digest: of the Idempotency-Key and the payload; token None where no key was sent.
        if_match: the ETags of If-Match; None where it was not sent.
        stored: the store was found to know it already, so that it cannot be said any more that nothing was changed.
    """

    session: str
    token: bytes | None = None
    digest: bytes = NO_DIGEST
    if_match: tuple[str, ...] | None = None
    stored: bool = False

    @property
    def is_recognised(self) -> bool:
        """Whether the same request again changes nothing more."""
        return True

    @property
    def again(self) -> str:
        """What a client can do that does not know what became of it."""
        return AGAIN if self.is_recognised else LOOK_FIRST


class Observe(Write, frozen=True, kw_only=True):
    """Observations of one session, as one request sent them.

    Args:
        listed: they were sent as a list, so that faults are addressed by index.
        creation: settings to create the session with where there is none; None = refuse.
        correcting: another value for a retained time or step corrects it; else it is refused.
        seen: the position at which the session was read before, so that a store that has fallen behind it is noticed.
        model: name, or `name@version`, that the session's model must have; None = whatever it has.
        following: what the same request takes up after these, apart from them: it may tell what is known in advance.
        anew: whatever the session holds is forgotten in the same commit, as by Reset. Such work goes beside the waves.
    """

    observations: Sequence[Observation]
    listed: bool
    creation: SessionSettings | None = None
    correcting: bool = False
    seen: bytes | None = None
    model: str | None = None
    following: Sequence[Observation] = ()
    anew: bool = False

    @property
    def is_placed(self) -> bool:
        """Whether the request says where in the series it belongs."""
        placed = (one.timestamp is not None or one.step is not None for one in self.observations)
        return self.if_match is not None or any(placed)

    @property
    def is_recognised(self) -> bool:
        return self.token is not None or self.is_placed

    def where(self, index: int) -> tuple[int, ...]:
        """Path to an observation in the body."""
        return (index,) if self.listed else ()


class End(Write, frozen=True, kw_only=True):
    """The last observations of a session: once they are folded, and the answer is known, it is forgotten."""

    last: Observe

    @property
    def is_recognised(self) -> bool:
        return self.last.is_recognised


class Correct(Write, frozen=True, kw_only=True):
    """Another value for one observation, named by its timestamp, or by its step in digits."""

    key: str
    correction: Correction


class Rewind(Write, frozen=True, kw_only=True):
    """Forget all observations after the one that is named."""

    last: schemas.Rewind


class Resettle(Write, frozen=True, kw_only=True):
    """Other settings, another model among them; `validate_only`: nothing is changed."""

    asked: SessionPatch
    validate_only: bool


class Reset(Write, frozen=True, kw_only=True):
    """Forget all observations; the settings stay."""


class Delete(Write, frozen=True, kw_only=True):
    """Forget the session."""


Work = Observe | End | Correct | Rewind | Resettle | Reset | Delete


class Reply(msgspec.Struct, frozen=True):
    """The answer to a write; `told` are the numbers that an Advance was rendered from."""

    status: int
    body: bytes
    etag: str | None
    replayed: bool = False
    location: str | None = None
    told: tuple[Label, Answer] | None = None

    @classmethod
    def of(cls, label: Label, answer: Answer, *, replayed: bool = False) -> "Reply":
        """An Advance."""
        etag = render.etag(answer.incarnation, answer.revision)
        location = f"/v1/sessions/{label.session}" if answer.status == 201 else None
        return cls(answer.status, render.advance(label, answer), etag, replayed, location, (label, answer))


_encode = msgspec.json.Encoder().encode


def token_of(key: str) -> bytes:
    """The 16 bytes that an Idempotency-Key is kept as."""
    return blake2b(key.encode(), digest_size=16).digest()


def digest_of(operation: str, payload: object) -> bytes:
    """8 bytes that tell the payloads of one key apart."""
    return blake2b(_encode((operation, payload)), digest_size=8).digest()


def digest_of_observations(observations: Sequence[Observation], *, listed: bool, correcting: bool) -> bytes:
    """The payload digest of a request that observes."""
    return digest_of("observe, correcting" if correcting else "observe", (listed, observations))
