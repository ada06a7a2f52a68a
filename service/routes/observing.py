"""A POST of observations: headers, query and body in, one answer out."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from pydantic import ValidationError

from service.sessions.forecaster import STEPS_IN_A_WAVE
from service.sessions.registry import Registry
from service.sessions.waves import Waves
from service.sessions.work import Observe, Reply, Work, digest_of, token_of
from service.settings import Settings
from service.wire import headers, parsing
from service.wire.exchange import RawHeaders, require_acceptable, text
from service.wire.problems import Fault, InvalidRequest, NotFound
from service.wire.schemas import SessionSettings

PARAMETERS = ("create", "freq", "model", "on_conflict")


class Observing:
    """Hands observations to the waves and waits for the answer."""

    def __init__(self, waves: Waves[Work, Reply], registry: Registry, settings: Settings) -> None:
        self._waves = waves
        self._registry = registry
        self._settings = settings

    def is_full(self) -> bool:
        """Whether every request is refused now."""
        return self._waves.is_full(self._settings.deadline_s)

    def admit(self, session: str) -> None:
        """Raises Overloaded or NotReady where it would be in vain to read the request."""
        self._waves.admit(session, timeout_s=self._settings.deadline_s)

    async def observe(self, session: str, query: bytes, given: RawHeaders, body: bytes) -> Reply:
        """Raises any ServiceError."""
        headers.require_json(text(given, b"content-type"))
        require_acceptable(text(given, b"accept"))
        parsing.session_id(session)
        parameters = _parameters(query) if query else {}
        creation, correcting = self._creation(parameters), _is_correcting(parameters)
        observations, listed = parsing.observations(body)
        token, digest = None, bytes(8)
        key = headers.idempotency_key(text(given, b"idempotency-key"))
        if key is not None:
            operation = "observe, correcting" if correcting else "observe"
            token, digest = token_of(key), digest_of(operation, (listed, observations))
        work = Observe(
            session,
            token,
            digest,
            headers.entity_tags(text(given, b"if-match"), "If-Match"),
            observations=observations,
            listed=listed,
            creation=creation,
            correcting=correcting,
        )
        long = len(observations) > STEPS_IN_A_WAVE
        timeout_s = self._settings.long_deadline_s if long or correcting else self._settings.deadline_s
        return await self._waves.submit(session, work, timeout_s=timeout_s, alone=long)

    def _creation(self, given: Mapping[str, str]) -> SessionSettings | None:
        """What to create the session with; None = do not."""
        create = given.get("create", "false")
        if create not in ("true", "false"):
            raise InvalidRequest([Fault("must be true or false", parameter="create")])
        settings = {name: given[name] for name in ("freq", "model") if name in given}
        if create == "false":
            if settings:
                faults = [Fault("goes with create=true only", parameter=name) for name in settings]
                raise InvalidRequest(faults)
            return None
        try:
            asked = SessionSettings.model_validate(settings)
        except ValidationError as error:
            refused = parsing.faults(error, SessionSettings)
            raise InvalidRequest(
                [Fault(fault.detail, parameter=(fault.pointer or "").lstrip("/")) for fault in refused]
            ) from None
        if asked.model is not None and self._registry.named(asked.model) is None:
            known = ", ".join(loaded.spec.label for loaded in self._registry.models)
            raise NotFound(f"there is no model of that name; this server has {known}")
        return asked


def _is_correcting(given: Mapping[str, str]) -> bool:
    on_conflict = given.get("on_conflict", "reject")
    if on_conflict not in ("reject", "correct"):
        raise InvalidRequest([Fault("must be reject or correct", parameter="on_conflict")])
    return on_conflict == "correct"


def _parameters(query: bytes) -> dict[str, str]:
    """The query's parameters. Raises InvalidRequest for unknown ones and those given twice."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    faults = [Fault("unknown parameter", parameter=name[:64]) for name in given if name not in PARAMETERS]
    if len(given) != len(pairs):
        faults.append(Fault("a parameter is given twice", parameter=pairs[0][0][:64]))
    if faults:
        raise InvalidRequest(faults)
    return given
