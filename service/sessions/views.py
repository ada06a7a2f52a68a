"""What sessions look like to a reader: nothing here commits, and a session's life is not prolonged by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.spread import continued
from service.sessions import drift, entries
from service.sessions.covariates import given_of
from service.sessions.places import Places
from service.sessions.records import parsed
from service.sessions.registry import LoadedModel, Registry, is_trained
from service.sessions.rules import Place
from service.sessions.whole import Whole
from service.storage.answers import Label
from service.storage.layout import HEAD_BYTES, Bytes, HeadFlag, Structured, correctable_from
from service.storage.record import find_damage, heads_of
from service.storage.store import Found, SessionStore
from service.wire import headers, render
from service.wire.parsing import Covariates
from service.wire.problems import Fault, InvalidRequest, ServiceError, Standing, StoreUnavailable
from service.wire.session_problems import (
    ModelMismatch,
    ModelUnavailable,
    RecordDamaged,
    ResultNotFinite,
    SessionEmpty,
    SessionNotFound,
)

CONTINUED = 10
"""Forecasts may reach this many times the model's horizon, continued beyond it."""


@dataclass(frozen=True, slots=True)
class View:
    """A session's head and state as they were read."""

    label: Label
    head: Structured
    state: Bytes
    loaded: LoadedModel

    @classmethod
    def of(cls, whole: Whole) -> "View":
        return cls(whole.place.label, whole.record.head, whole.record.state, whole.loaded)

    @property
    def etag(self) -> str:
        return render.head_etag(self.head)

    def body(self, registry: Registry) -> render.Json:
        """A Session."""
        layout, states = self.loaded.spec.layout, self.state[None]
        [since] = drift.since(self.loaded, states, self.head["step"].reshape(1)).tolist()
        return render.session(
            self.label,
            self.head,
            retained_from=_retained_from(self.head),
            warmed_up=bool(entries.is_warmed_up(self.loaded, states)[0]),
            scores_all=layout.view(states, "scores.all")[0],
            scores_recent=layout.view(states, "scores.recent")[0],
            drifting_since=since or None,
            static=self.loaded.encoding.given_of(self.loaded.model.static(states)[0]),
            warnings=_warnings(self, registry),
        )

    def forecast(self, horizon: int, levels: Sequence[int], future: Sequence[Covariates] = ()) -> bytes:
        """The answer to GET forecast. Raises what `quantiles` raises."""
        return self.answer(self.quantiles(horizon, levels, future=future), levels)

    def quantiles(
        self,
        horizon: int,
        levels: Sequence[int],
        direct: NDArray[np.float64] | None = None,
        future: Sequence[Covariates] = (),
    ) -> NDArray[np.float64]:
        """(horizon, q) forecasts of the next steps as they are answered, ordered as `render.quantile_keys(levels)` is.

        Args:
            direct: (H, Q) the model's own fan from this state, where it was computed before.
            future: covariates known in advance, nearest first, in place of those given with the last observation; none
                leaves those.
        Raises:
            InvalidRequest: the model has no such level, does not know some covariate, or does not reach so far.
            SessionEmpty: no value is known yet.
            ResultNotFinite: the values are so large that no finite forecast follows.
        """
        spec, model = self.loaded.spec, self.loaded.model
        columns = self._columns(levels)
        known = self._known(future) if future else None
        if not 1 <= horizon <= CONTINUED * spec.horizon:
            fault = Fault(f"must be 1 to {CONTINUED * spec.horizon}", parameter="horizon")
            raise InvalidRequest([fault], at=self.standing)
        states = self.state[None]
        if not model.seen(states)[0] > 0:
            raise SessionEmpty(self.standing)
        fan = model.issued(states) if horizon == 1 and known is None else self._fan(horizon, direct, known)
        if not np.isfinite(fan).all():
            raise ResultNotFinite(self.standing, "what the session holds")
        return entries.Bounds.of(self.head.reshape(1)).cut(fan[:, columns])

    def answer(self, quantiles: NDArray[np.float64], levels: Sequence[int]) -> bytes:
        """Forecasts that `quantiles` gave, as the answer to GET forecast."""
        return render.forecasts(
            self.label,
            self.head,
            quantiles.tolist(),
            levels,
            warmed_up=bool(entries.is_warmed_up(self.loaded, self.state[None])[0]),
            direct=self.loaded.spec.horizon,
        )

    def _fan(
        self, horizon: int, direct: NDArray[np.float64] | None, known: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """(horizon, Q): direct as far as the model reaches, then its intervals go on growing around other medians."""
        spec, model = self.loaded.spec, self.loaded.model
        if known is not None:
            direct = model.forecast(self.state[None], known[None, : spec.horizon])[0]
        elif direct is None:
            direct = model.forecast(self.state[None])[0]
        if horizon <= spec.horizon:
            return direct[:horizon]
        told = model.known_ahead(self.state[None])[0] if known is None else self.loaded.encoding.step_ahead(known)
        medians = self._medians(direct[:, len(spec.quantiles) // 2], horizon, told)
        return np.concatenate([direct, continued(direct, medians[spec.horizon :], spec.season)])

    def _medians(
        self, direct: NDArray[np.float64], horizon: int, known: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(horizon,): the direct ones (H,), then those of the states that come where each is what will be observed.

        Args:
            known: (n, 2 N) covariates of the steps ahead as rows have them.
        """
        spec, model, grid = self.loaded.spec, self.loaded.model, self.label.grid
        rows = self.loaded.encoding.rows_ahead(known, horizon)
        medians, state, last = [direct], self.state, int(self.head["last"])
        for begin in range(0, horizon - spec.horizon, spec.horizon):
            instants = []
            for _ in range(spec.horizon):
                last = entries.time_after(grid, last)
                instants.append(last)
            context = np.concatenate(
                [entries.calendar(grid, instants), rows[begin : begin + spec.horizon]], axis=1
            )
            state, _ = model.fold(state, medians[-1], context)
            medians.append(model.forecast(state[None])[0, :, len(spec.quantiles) // 2])
        return np.concatenate(medians)[:horizon]

    def _known(self, future: Sequence[Covariates]) -> NDArray[np.float64]:
        """(n, N) covariates known in advance, of as many steps as the model forecasts at least.

        Raises:
            InvalidRequest: the model does not know some of them, or does not reach so far.
        """
        encoding = self.loaded.encoding
        steps = max(len(future), encoding.horizon)
        try:
            given = given_of(self.label.model, encoding, None, future, horizons=CONTINUED)
        except InvalidRequest as refused:
            raise InvalidRequest(refused.errors, at=self.standing) from None
        numbers = np.full(steps * encoding.known, np.nan)
        for place, number in given.items():
            numbers[place - encoding.observed] = number
        return numbers.reshape(steps, encoding.known)

    def _columns(self, levels: Sequence[int]) -> list[int]:
        """Where the quantiles of the levels stand among the model's."""
        unknown = [level for level in levels if level not in self.loaded.spec.levels]
        if unknown:
            has = ", ".join(map(str, self.loaded.spec.levels))
            fault = Fault(f"the model {self.label.model} is calibrated for the levels {has} only", parameter="levels")
            raise InvalidRequest([fault], at=self.standing)
        quantiles = self.loaded.spec.quantiles
        return [quantiles.index(float(key)) for key in render.quantile_keys(tuple(levels))]

    @property
    def standing(self) -> Standing:
        """The session and where it stands, as problems tell it."""
        return self._place.standing()

    @property
    def _place(self) -> Place:
        return Places([self.label.session], self.head.reshape(1)).place(0, self.loaded)


@dataclass(frozen=True, slots=True)
class Stranded:
    """A session whose model is not here: what can be told without it, and why the rest cannot."""

    label: Label
    head: Structured
    static: Mapping[str, float]
    refused: ServiceError

    @classmethod
    def of(cls, whole: Whole, refused: ServiceError) -> "Stranded":
        given: Mapping[str, float] = whole.record.tail.get("static", {})
        taken = () if whole.encoding is None else whole.encoding.covariates.static
        static = {name: given[name] for name in taken if name in given}
        return cls(whole.place.label, whole.record.head, static, refused)

    @property
    def etag(self) -> str:
        return render.head_etag(self.head)

    def body(self, _: Registry) -> render.Json:
        """A Session without what only its model can read of its state."""
        return render.session(
            self.label,
            self.head,
            retained_from=_retained_from(self.head),
            warmed_up=None,
            scores_all=None,
            scores_recent=None,
            drifting_since=None,
            static=self.static,
            warnings=[{"type": self.refused.slug, "detail": self.refused.detail}],
        )

    def forecast(self, _: int, __: Sequence[int]) -> bytes:
        """Raises ModelUnavailable or ModelMismatch."""
        raise self.refused


Shown = View | Stranded
"""What a reader is shown of a session."""


class Views:
    """Reads heads and states."""

    def __init__(self, store: SessionStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def one(self, session: str) -> Shown:
        """Raises SessionNotFound, StoreUnavailable, RecordDamaged."""
        [view] = await self._read([session])
        if view is None:
            raise SessionNotFound(session)
        if isinstance(view, ServiceError):
            raise view
        return view

    async def many(self, sessions: Sequence[str]) -> list[Shown | ServiceError | None]:
        """Views in the order asked for: None where there is no such session, an error where it cannot be read.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        return await self._read(sessions) if sessions else []

    async def _read(self, sessions: Sequence[str]) -> list[Shown | ServiceError | None]:
        reading = await self._store.read(sessions, self._registry.live_bytes)
        if (reading.found == Found.UNAVAILABLE).any():
            raise StoreUnavailable("the store did not answer")
        damaged = find_damage(reading.rows)
        heads = heads_of(reading.rows)
        places = Places(sessions, heads)
        views: list[Shown | ServiceError | None] = []
        stranded: dict[int, ServiceError] = {}
        for row, found in enumerate(reading.found.tolist()):
            if found == Found.ABSENT:
                views.append(None)
                continue
            try:
                loaded = places.sound_model(row, self._registry, damaged)
                views.append(self._view(places, row, reading.rows[row], loaded))
            except (ModelUnavailable, ModelMismatch) as refused:
                views.append(refused)
                stranded[row] = refused
            except ServiceError as refused:
                views.append(refused)
        if stranded:
            found = await self._read_stranded({sessions[row]: refused for row, refused in stranded.items()})
            for row, view in zip(stranded, found, strict=True):
                views[row] = view
        return views

    async def _read_stranded(
        self, refusals: Mapping[str, ServiceError]
    ) -> list[Shown | ServiceError | None]:
        """Sessions whose models are not here, read whole: their states may be longer than what is read of others."""
        reading = await self._store.read_whole(list(refusals))
        views: list[Shown | ServiceError | None] = []
        for found, blob, (session, refused) in zip(reading.found, reading.blobs, refusals.items(), strict=True):
            if found is Found.UNAVAILABLE:
                raise StoreUnavailable("the store did not answer")
            if blob is None:
                views.append(None)
                continue
            try:
                record, loaded = parsed(session, blob, self._registry, instead=self._registry.default)
            except ServiceError as damaged:
                views.append(damaged)
                continue
            whole = Whole.of(session, record, loaded, record.position, reading.now_ms)
            views.append(View.of(whole) if whole.is_readable else Stranded.of(whole, refused))
        return views

    def _view(self, places: Places, row: int, data: Bytes, loaded: LoadedModel) -> View:
        live = data[None, : loaded.layout.live_bytes]
        if entries.find_unsound(loaded, live)[0]:
            raise RecordDamaged(places.sessions[row])
        return View(places.label(row), heads_of(live)[0], live[0, HEAD_BYTES:], loaded)


def is_unchanged(etag: str, if_none_match: tuple[str, ...] | None) -> bool:
    """Whether the reader has this state already."""
    return if_none_match is not None and headers.matches(if_none_match, etag)


def _retained_from(head: Structured) -> int | None:
    """The oldest step that can be corrected; None where none can."""
    oldest = correctable_from(head)
    return oldest if oldest <= int(head["step"]) else None


def _warnings(view: View, registry: Registry) -> list[dict[str, str]]:
    label, loaded, grid = view.label, view.loaded, view.label.grid
    warnings = []
    if grid is not None and not is_trained(loaded, grid.freq):
        detail = f"{label.model} was trained for {', '.join(loaded.spec.freqs)}, not for {grid.freq}"
        warnings.append({"type": "freq-untrained", "detail": detail})
    if view.head["flags"] & HeadFlag.SHORT_REBUILD:
        detail = f"{label.model} has folded what was retained when the session got it, and nothing from before"
        warnings.append({"type": "short-rebuild", "detail": detail})
    newest = registry.newest(loaded)
    if newest is not loaded:
        warnings.append({"type": "model-superseded", "detail": f"{newest.spec.label} is newer; new sessions get it"})
    return warnings
