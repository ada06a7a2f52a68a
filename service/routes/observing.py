"""A POST of observations: headers, query and body in, one answer out."""

from collections.abc import Callable
from functools import partial

from service.routes import asking
from service.sessions.registry import Registry
from service.sessions.waves.forecaster import STEPS_IN_A_WAVE
from service.sessions.waves.waves import Waves
from service.sessions.work import NO_DIGEST, Observe, Reply, Work, digest_of_observations, token_of
from service.settings import Settings
from service.wire import headers, parsing
from service.wire.exchange import JSON, RawHeaders, require_acceptable, text


class Observing:
    """Hands observations to the waves."""

    def __init__(self, waves: Waves[Work, Reply], registry: Registry, settings: Settings) -> None:
        self._waves = waves
        self._registry = registry
        self._settings = settings
        self.is_full = partial(waves.is_full, settings.deadline_s)
        """Whether every request is refused now; asked so often that no function of its own stands in between."""

    def begin(
        self,
        session: str,
        query: bytes,
        given: RawHeaders,
        body: bytes,
        settled: Callable[[Reply], None],
        failed: Callable[[BaseException], None],
    ) -> Callable[[], None]:
        """Have a request answered, by one of the two callbacks; call what is returned when nobody waits any more.

        Args:
            body: in its content coding.

        Raises:
            ServiceError: any; it is refused at once.
        """
        self._waves.admit(session, timeout_s=self._settings.deadline_s)
        work, timeout_s, alone = self.read(session, query, given, body)
        entry = self._waves.enter(session, work, settled, failed, timeout_s=timeout_s, alone=alone)
        return partial(self._waves.withdraw, entry)

    def read(self, session: str, query: bytes, given: RawHeaders, body: bytes) -> tuple[Observe, float, bool]:
        """What a request asks for, how many seconds it may take, and whether it goes beside the waves.

        Raises:
            ServiceError: any; it is refused.
        """
        settings = self._settings
        if b"content-encoding" in given:
            body = headers.inflated(body, text(given, b"content-encoding"), settings.body_limit_bytes)
        if given.get(b"content-type") != JSON:  # else spelled out in some other way, if at all
            headers.require_json(text(given, b"content-type"))
        if b"accept" in given:
            require_acceptable(text(given, b"accept"))
        parsing.session_id(session)
        creation, correcting = None, False
        if query:
            parameters = asking.parameters(query)
            creation, correcting = asking.creation(parameters, self._registry), asking.is_correcting(parameters)
        observations, listed = parsing.observations(body)
        token, digest, if_match = None, NO_DIGEST, None
        if b"idempotency-key" in given:
            key = headers.idempotency_key(text(given, b"idempotency-key"))
            assert key is not None, "it was given"
            token, digest = token_of(key), digest_of_observations(observations, listed=listed, correcting=correcting)
        if b"if-match" in given:
            if_match = headers.entity_tags(text(given, b"if-match"), "If-Match")
        work = Observe(
            session,
            token,
            digest,
            if_match,
            observations=observations,
            listed=listed,
            creation=creation,
            correcting=correcting,
        )
        long = len(observations) > STEPS_IN_A_WAVE
        return work, settings.long_deadline_s if long or correcting else settings.deadline_s, long
