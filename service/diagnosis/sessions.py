"""The sessions in a store: whether each is sound, and whether its model is here."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

from service.diagnosis.findings import Finding, ok, problem
from service.listing.scanning import stored_sessions
from service.sessions.places import Places
from service.sessions.registry import Registry
from service.storage.connection import StoreUnavailable
from service.storage.record import find_damage, heads_of
from service.storage.store import Found, SessionStore
from service.wire.problems import ServiceError
from service.wire.session_problems import ModelMismatch, ModelUnavailable, RecordDamaged

MOST = 100_000
"""Sessions that are looked at; of more, these many say how the rest is."""
TOGETHER = 256
SHOWN = 3


async def examine_sessions(store: SessionStore, registry: Registry) -> list[Finding]:
    """Read heads and states of all sessions, up to MOST."""
    health = _Health(store, registry)
    try:
        async for names in stored_sessions(store):
            for at in range(0, len(names), TOGETHER):
                await health.look_at(names[at : at + TOGETHER])
            if health.seen >= MOST:
                break
    except StoreUnavailable as error:
        return [problem("sessions", f"the store stopped answering: {error}", "run this again")]
    return [finding async for finding in health.findings()]


class _Health:
    def __init__(self, store: SessionStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._missing = Counter[str]()
        self._other = Counter[str]()
        self._damaged: list[str] = []
        self.seen = 0

    async def look_at(self, names: list[str]) -> None:
        reading = await self._store.read(names, self._registry.live_bytes)
        if (reading.found == Found.UNAVAILABLE).any():
            raise StoreUnavailable("it did not answer in time")
        places, damaged = Places(names, heads_of(reading.rows)), find_damage(reading.rows)
        for row in (reading.found == Found.PRESENT).nonzero()[0].tolist():
            self.seen += 1
            with suppress(ServiceError):
                try:
                    places.sound_model(row, self._registry, damaged)
                except ModelUnavailable:
                    self._missing[places.label(row).model] += 1
                except ModelMismatch:
                    self._other[places.label(row).model] += 1
                except RecordDamaged:
                    self._damaged.append(names[row])

    async def findings(self) -> AsyncIterator[Finding]:
        for model, count in self._missing.items():
            name, _, version = model.partition("@")
            said = f"{count} sessions belong to {model}, which is not here: they are answered 409 model-unavailable"
            cure = (
                f"put its folder {name}/{version} back (HIDDENSTATE_MODELS_DIR), or give each another model: "
                f'PATCH /v1/sessions/ID {{"model": "{self._registry.default.spec.name}"}}'
            )
            yield problem("sessions", said, cure)
        for model, count in self._other.items():
            said = f"{count} sessions belong to another {model} than the one here, by its fingerprint"
            yield problem("sessions", said, f"put back the files of {model} that they began with")
        if self._damaged:
            names = ", ".join(self._damaged[:SHOWN])
            said = f"{len(self._damaged)} records are damaged, such as {names}"
            yield problem("sessions", said, "DELETE /v1/sessions/ID and create it again with its history")
        if not (self._missing or self._other or self._damaged):
            more = f", of more only the first {self.seen} were looked at" if self.seen >= MOST else ""
            yield ok("sessions", f"{self.seen} sessions, all sound and with their models here{more}")
