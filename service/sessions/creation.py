"""A new session's record, from the settings that were asked for."""

from dataclasses import dataclass
from math import nan

from models.dates.frequencies import frequency
from service.sessions.covariates import tell
from service.sessions.registry import LoadedModel, Registry
from service.settings import Settings
from service.storage.layout import HeadFlag, Structured, mark
from service.storage.record import Record
from service.wire.problems import Fault, InvalidRequest, NotFound, Standing, pointer
from service.wire.schemas import SessionPatch, SessionSettings

PERIODS_KEPT = 10
"""A session lives at least as many periods after its last commit, where it does not say."""
LEAST_PERIODS = 2
FULL = "full"
FULL_RING = 64
"""Slots that are moved at once into a full history, where the server's own default is to retain nothing."""


@dataclass(frozen=True, slots=True)
class Creator:
    """Makes the records of new sessions."""

    registry: Registry
    settings: Settings

    def record(
        self, session: str, asked: SessionSettings, *, incarnation: bytes, now_ms: int
    ) -> tuple[Record, LoadedModel]:
        """A session without observations, not yet committed.

        Raises:
            NotFound: there is no such model.
            InvalidRequest: settings that do not fit the model or each other.
        """
        loaded = self.registry.for_freq(asked.freq) if asked.model is None else self.model(asked.model)
        self._check(session, asked, loaded)
        history = self.ring(asked) if "history" in asked.model_fields_set else self.settings.history
        record = Record.new(
            loaded.layout,
            model=loaded.spec.label,
            fingerprint=loaded.spec.fingerprint,
            incarnation=incarnation,
            history=history,
            state=loaded.initial_state(asked.static),
        )
        if static := {name: number for name, number in asked.static.items() if number is not None}:
            record.tail = {"static": static}
        tell(record, loaded.encoding)
        head = record.head
        head["freq"] = (asked.freq or "").encode()
        head["timezone"] = asked.timezone.encode()
        if asked.freq is None and "freq" in asked.model_fields_set:
            mark(head, HeadFlag.COUNTED)
        mark(head, HeadFlag.FULL, on=asked.history == FULL)
        head["created_ms"] = now_ms
        head["max_gap"] = history // 2
        change(head, asked)
        return record, loaded

    def ring(self, asked: SessionSettings | SessionPatch) -> int:
        """Slots of the record's ring, where a history is asked for.

        Raises:
            InvalidRequest: it is longer than this server allows.
        """
        if isinstance(asked.history, str):
            return self.settings.history or FULL_RING
        if asked.history > self.settings.history_limit:
            detail = f'must be at most {self.settings.history_limit} on this server, or "full"'
            raise InvalidRequest([Fault(detail, pointer("history"))])
        return asked.history

    def settle_expiry(self, record: Record, asked: SessionSettings) -> None:
        """Once the freq is known: give the session its time to live.

        Raises:
            InvalidRequest: it is shorter than two periods.
        """
        freq = record.head["freq"].item().decode()
        if "ttl_s" not in asked.model_fields_set:
            record.head["ttl_ms"] = round(1000 * max(self.settings.session_ttl_s, PERIODS_KEPT * _period_s(freq)))
        require_long_life(record.head)

    def model(self, name: str) -> LoadedModel:
        """The model of a `name@version`, or the newest of a name. Raises NotFound."""
        loaded = self.registry.named(name)
        if loaded is None:
            known = ", ".join(loaded.spec.label for loaded in self.registry.models)
            raise NotFound(f"there is no model of that name; this server has {known}")
        return loaded

    def _check(self, session: str, asked: SessionSettings, loaded: LoadedModel) -> None:
        taken = loaded.spec.covariates["static"]
        unknown = [name for name in asked.static if name not in taken]
        if unknown:
            takes = f"takes {', '.join(taken)}" if taken else "takes no static covariates"
            raise InvalidRequest(
                [Fault(f"the model {loaded.spec.label} {takes}", pointer("static", name)) for name in unknown],
                at=Standing(session),
            )


def change(head: Structured, asked: SessionSettings | SessionPatch) -> None:
    """Write those settings into a head that were given and need no refolding."""
    given = asked.model_fields_set
    if "gaps" in given:
        head["gaps"] = asked.gaps == "reject"
    if "max_gap" in given:
        head["max_gap"] = int(head["history"]) // 2 if asked.max_gap is None else asked.max_gap
    if "minimum" in given:
        head["minimum"] = nan if asked.minimum is None else asked.minimum
    if "maximum" in given:
        head["maximum"] = nan if asked.maximum is None else asked.maximum
    if "ttl_s" in given:
        head["ttl_ms"] = 0 if asked.ttl_s is None else round(1000 * asked.ttl_s)
    if "require_if_match" in given:
        head["require_if_match"] = asked.require_if_match


def require_long_life(head: Structured) -> None:
    """Raises InvalidRequest where a session would expire before its second next observation is due."""
    ttl_ms, least_s = int(head["ttl_ms"]), LEAST_PERIODS * _period_s(head["freq"].item().decode())
    if ttl_ms and ttl_ms < 1000 * least_s:
        fault = Fault(f"must be at least {LEAST_PERIODS} periods, {least_s:g} s, or null for never", pointer("ttl_s"))
        raise InvalidRequest([fault])


def require_order(head: Structured, asked: SessionSettings | SessionPatch) -> None:
    """Raises InvalidRequest, pointing to what was asked for, where minimum is above maximum."""
    if head["minimum"] > head["maximum"]:
        given, other = ("minimum", "maximum") if "minimum" in asked.model_fields_set else ("maximum", "minimum")
        order = "above" if given == "minimum" else "below"
        raise InvalidRequest([Fault(f"must not be {order} {other}", pointer(given))])


def _period_s(freq: str) -> float:
    return frequency(freq).longest_s if freq else 0.0
