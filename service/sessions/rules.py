"""The time rules: what the observations of one request mean for a session that stands where it stands."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import takewhile
from math import isnan, nan

import msgspec
from msgspec.structs import replace

from models.covariates import Encoding
from models.dates.grid import Grid, TimestampError, grid
from service.sessions.covariates import Given, changed, foreseen, given_of
from service.sessions.differences import differing, faults
from service.storage.answers import IMPUTED, Label, Observed
from service.storage.layout import NO_TIME, QUANTILES
from service.wire import render
from service.wire.parsing import Observation
from service.wire.problems import Fault, InvalidRequest, ServiceError, Standing, pointer
from service.wire.session_problems import (
    GapRejected,
    GapTooLong,
    NotRetained,
    ObservationConflict,
    OffGrid,
    OutOfOrder,
)

NO_FORECAST = (nan,) * len(QUANTILES)
Where = tuple[str | int, ...]
"""Path to an observation in the request's body."""


class NeedsHistory(Exception):
    """Whether an observation is a replay can be said only by the retained history."""


class Place(msgspec.Struct, frozen=True):
    """Where a session stands.

    Args:
        last: instant of the last observation; NO_TIME before the first, or where steps are counted.
        max_gap: missing steps that are imputed; None = a gap is rejected.
        undecided: the freq that a first observation with a timestamp decides on; None where the freq is decided.
        requires_match: a write must name the state that it follows.
        taken: the covariates that the model takes with observations; None where it takes none.
    """

    label: Label
    step: int
    last: int
    incarnation: bytes
    revision: int
    max_gap: int | None
    undecided: str | None = None
    timezone: str = "UTC"
    requires_match: bool = False
    taken: Encoding | None = None

    @property
    def etag(self) -> str:
        return render.etag(self.incarnation, self.revision)

    def standing(self) -> Standing:
        return Standing(self.label.session, self.step, render.written(self.label.grid, self.last))

    def key(self, step: int) -> str | None:
        """How an observation is named in a path; None for a step that was not folded yet."""
        if step > self.step:
            return None
        grid = self.label.grid
        return str(step) if grid is None else grid.format(grid.advance(self.last, step - self.step))


def off_grid(at: Standing, grid: Grid, instant: int, fault: Fault) -> OffGrid:
    """The refusal of an instant that the grid does not have."""
    nearest = grid.nearest(instant)
    written = grid.anchored(nearest) if grid.anchor is None else grid
    faults = [fault._replace(detail="is off the session's grid")]
    return OffGrid(at, freq=grid.freq, timezone=grid.timezone, nearest=written.format(nearest), errors=faults)


class Plan:
    """What to fold of a request, built up observation by observation.

    Attributes:
        label: the session's, its grid anchored and its freq decided once an observation has done so.
        instants, values, imputed: the steps to fold, in order; NaN = missing.
        covariates: of the steps to fold, the numbers that slots keep.
        corrections: other values for steps that were folded before; NaN = missing.
        beside: by step, other covariates: by their place among the numbers.
        again: the steps of those observations that were folded before, with the same value.
        sources: by step, the observation of the request that it was taken from.
        step, last: where the session stands after the steps to fold.
    """

    __slots__ = (
        *("again", "beside", "corrections", "covariates", "imputed", "instants", "label", "last", "place"),
        *("sources", "step", "undecided", "values"),
        *("_correctable_from", "_correcting", "_foretold", "_is_history", "_overwritten", "_retained"),
    )

    def __init__(
        self,
        place: Place,
        retained: Callable[[int], Observed | None] | None = None,
        *,
        correcting: bool = False,
        correctable_from: int = 0,
        is_history: bool = False,
    ) -> None:
        """A plan for a session that stands at `place`.

        Args:
            retained: looks an observation up by its step; None = the history is not at hand.
            correcting: another value for a retained step corrects it; else it is refused.
            correctable_from: the oldest step that can be corrected, where the history is at hand.
            is_history: the observations are those that a session is created with.
        """
        self.place = place
        self._retained = retained
        self._correcting = correcting
        self._correctable_from = correctable_from
        self._is_history = is_history
        self._overwritten = 0
        self._foretold: set[int] = set()
        """Steps to fold whose observations say themselves what is known in advance."""
        self.corrections: dict[int, float] = {}
        self.beside: dict[int, Given] = {}
        self.covariates: list[tuple[float, ...]] = []
        self.label = place.label
        self.undecided = place.undecided
        self.step = place.step
        self.last = place.last
        self.instants: list[int] = []
        self.values: list[float] = []
        self.imputed: list[bool] = []
        self.again: list[int] = []
        self.sources: dict[int, Where] = {}

    def add(self, observation: Observation, where: Where) -> None:
        """Take up the next observation of the request.

        Raises:
            NeedsHistory: it is no later one, and the history is not at hand.
            InvalidRequest, OffGrid, GapRejected, GapTooLong, ObservationConflict, OutOfOrder: it is refused.
        """
        given: Given = {}
        if observation.covariates or observation.future:
            given = self._given(observation, where)
        value = nan if observation.value is None else observation.value
        if self.undecided is not None:
            self._decide(observation)
        grid = self.label.grid
        if grid is None:
            instant, ahead = NO_TIME, self._steps_ahead(observation, where)
        else:
            instant, ahead = self._time_ahead(grid, observation, where)
        if observation.future is not None:
            self._foretold.add(self.step + ahead)
        if ahead < 1:
            self._take_again(self.step + ahead, instant, value, given, where)
            return
        if ahead > 1:
            self._impute(ahead - 1, where)
        self._fold(instant, value, self._numbers(given), imputed=False)
        self.sources[self.step] = where

    def foresee(self, following: Sequence[Observation] = ()) -> None:
        """Once all is taken up: where an observation to fold did not say what is known in advance, those after it do.

        They do as far as the model's horizon, and up to the first step that nobody observed. What was folded before
        keeps what was known then.

        Args:
            following: observations of the same request that are taken up later.
        """
        taken = self.place.taken
        if taken is None or not taken.known or not self.values or (len(self.values) == 1 and not following):
            return
        first = self.step - len(self.values) + 1
        given = [not imputed for imputed in self.imputed]
        open_ = [is_given and step not in self._foretold for step, is_given in enumerate(given, first)]
        if any(open_):
            self.covariates = foreseen(taken, self.covariates, given, open_, self._beyond(following, taken))

    @property
    def corrected(self) -> int:
        """Observations of the request that correct a stored one, or one that stands before them in the request."""
        return len(self.corrections) + self._overwritten

    @property
    def changes(self) -> bool:
        """Whether there is anything to fold."""
        return bool(self.values or self.corrections)

    def place_after(self) -> Place:
        """Where a session stands after the steps to fold, once they are committed."""
        before = self.place
        return Place(
            self.label,
            self.step,
            self.last,
            before.incarnation,
            before.revision + 1,
            before.max_gap,
            self.undecided,
            before.timezone,
            before.requires_match,
            before.taken,
        )

    def source(self, step: int) -> Where:
        """Path to the observation of the request that the state after a step ceased to be finite for.

        It is the largest up to there: a state may bear it, and not the next, ordinary one.
        """
        seen = [at for at in self.sources if at <= step]
        return self.sources[max(seen or self.sources, key=self._size)]

    def correct(
        self, step: int, value: float, too_old: Fault, given: Given | None = None, where: Where = ()
    ) -> None:
        """Give a step that was folded before another value, and other covariates where some are given.

        Raises:
            NeedsHistory: the history is not at hand.
            NotRetained: the step is too old.
        """
        planned = step - self.place.step - 1
        if planned >= 0:
            self._overwritten += not self.imputed[planned]
            self.values[planned], self.imputed[planned] = value, False
            self.covariates[planned] = changed(self.covariates[planned], given or {})
            self.sources[step] = where
            return
        if self._retained is None:
            raise NeedsHistory
        stored = self._retained(step)
        if stored is None or step < self._correctable_from:
            raise NotRetained(self._standing(), self.place.key(self._correctable_from), [too_old])
        if not differing(stored, value, given or {}):
            self.corrections.pop(step, None)
            self.beside.pop(step, None)
            self.again.append(step)
        else:
            self.corrections[step] = value
            self.beside[step] = {**self.beside.get(step, {}), **(given or {})}
            self.sources[step] = where

    def _beyond(self, following: Sequence[Observation], taken: Encoding) -> list[tuple[float, ...]]:
        """Known covariates of the steps after those to fold, up to the first that is not among the following."""
        grid, told, last = self.label.grid, dict[int, Given](), 0
        for observation in following:
            try:
                if grid is None:
                    ahead = last + 1 if observation.step is None else self._steps_ahead(observation, ())
                else:
                    _, ahead = self._time_ahead(grid, observation, ())
                given = self._given(observation, ())
            except ServiceError:
                continue  # it is refused in its turn
            last = max(last, ahead)
            told.setdefault(ahead, given)
        places = range(taken.observed - taken.known, taken.observed)
        steps = takewhile(told.__contains__, range(1, taken.horizon + 1))
        return [tuple(told[ahead].get(place, nan) for place in places) for ahead in steps]

    def _size(self, step: int) -> float:
        planned = step - self.place.step - 1
        value = self.values[planned] if planned >= 0 else self.corrections.get(step, nan)
        return 0.0 if isnan(value) else abs(value)

    def _fold(self, instant: int, value: float, numbers: tuple[float, ...], *, imputed: bool) -> None:
        self.instants.append(instant)
        self.values.append(value)
        self.covariates.append(numbers)
        self.imputed.append(imputed)
        self.step += 1
        self.last = instant

    def _decide(self, observation: Observation) -> None:
        if observation.timestamp is not None:
            assert self.undecided is not None
            self.label = self.label._replace(grid=grid(self.undecided, self.place.timezone))
        self.undecided = None

    def _steps_ahead(self, observation: Observation, where: Where) -> int:
        if observation.timestamp is not None:
            raise self._invalid("this session counts steps and has no timestamps; leave it out", where, "timestamp")
        return 1 if observation.step is None else observation.step - self.step

    def _time_ahead(self, grid: Grid, observation: Observation, where: Where) -> tuple[int, int]:
        """The instant of an observation, and how many steps after the last one it is."""
        if observation.timestamp is None:
            raise self._invalid(f"required, since this session has the freq {grid.freq}", where, "timestamp")
        try:
            instant, on_grid, ahead = _read(grid, self.last, observation.timestamp)
            if not on_grid:
                raise off_grid(self._standing(), grid, instant, Fault("", pointer(*where, "timestamp")))
            if grid.anchor is None:
                self.label = self.label._replace(grid=grid.anchored(instant))
            return instant, ahead
        except TimestampError as error:
            raise self._invalid(str(error), where, "timestamp") from None

    def _impute(self, missing: int, where: Where) -> None:
        at, max_gap = self._standing(), self.place.max_gap
        fault = [Fault(f"{missing} steps after the last observation are missing", pointer(*where))]
        if max_gap is None:
            raise GapRejected(at, missing=missing, errors=fault)
        if missing > max_gap:
            raise GapTooLong(at, missing=missing, max_gap=max_gap, than=self._allowed(max_gap), errors=fault)
        grid = self.label.grid
        for _ in range(missing):
            self._fold(NO_TIME if grid is None else grid.next(self.last), nan, self._numbers({}), imputed=True)

    def _allowed(self, max_gap: int) -> str:
        """What a gap is longer than, and what can be done about it."""
        if self._is_history:
            return f"the {max_gap} that {GapTooLong.HISTORY}"
        return GapTooLong.SESSION if self.place.revision else GapTooLong.NEW

    def _take_again(self, step: int, instant: int, value: float, given: Given, where: Where) -> None:
        """An observation of a step that was folded before: a replay where it is the same one, else refused."""
        stored, at = self._folded(step), pointer(*where)
        differ = [] if stored is None else differing(stored, value, given)
        if stored is not None and not differ:
            self.again.append(step)
        elif self._correcting and step >= 1:
            self.correct(step, value, Fault("is too old to be corrected", at), given, where)
        elif stored is not None and step == self.step:
            grid = self.label.grid
            key = str(step) if grid is None else grid.format(instant)
            held = None if step > self.place.step else render.record(self.label, stored)
            raise ObservationConflict(self._standing(), key, held, faults(differ, self.label.covariates, where))
        else:
            is_listed = step > self.place.step or not self.place.step
            detail = "is not later than those before it" if is_listed else "is older than the last observation"
            fault = [Fault(detail, at)]
            raise OutOfOrder(self._standing(), fault, listed=at if is_listed else None)

    def _folded(self, step: int) -> Observed | None:
        """An observation that this request or an earlier one had folded, if it is retained."""
        planned = step - self.place.step - 1
        if planned >= 0:
            flags = IMPUTED if self.imputed[planned] else 0
            moment, value = self.instants[planned], self.values[planned]
            beside = self.covariates[planned]
            return Observed(flags, step, moment, value, nan, 0, 0, 0, NO_FORECAST, NO_FORECAST, beside)
        if step < 1:
            return None
        if self._retained is None:
            raise NeedsHistory
        stored = self._retained(step)
        if stored is None or step not in self.corrections:
            return stored
        beside = changed(stored.covariates, self.beside[step])
        return replace(stored, value=self.corrections[step], flags=stored.flags & ~IMPUTED, covariates=beside)

    def _numbers(self, given: Given) -> tuple[float, ...]:
        """The numbers that are kept with an observation; NaN where nothing is known."""
        taken = self.place.taken
        return () if taken is None else tuple(given.get(place, nan) for place in range(taken.numbers))

    def _given(self, observation: Observation, where: Where) -> Given:
        """What an observation says of covariates. Raises InvalidRequest: the model does not take some of it."""
        try:
            return given_of(self.label.model, self.place.taken, observation.covariates, observation.future, where)
        except InvalidRequest as refused:
            raise InvalidRequest(refused.errors, at=self._standing()) from None

    def _invalid(self, detail: str, where: Where, member: str) -> InvalidRequest:
        return InvalidRequest([Fault(detail, pointer(*where, member))], at=self._standing())

    def _standing(self) -> Standing:
        return replace(self.place, label=self.label).standing()


@lru_cache(maxsize=2**16)  # many sessions stand at the same few times
def _read(grid: Grid, last: int, timestamp: str) -> tuple[int, bool, int]:
    """The instant of a timestamp, whether it is on the grid, and how many steps after the last one.

    Raises:
        TimestampError: it cannot be read.
    """
    instant = grid.parse(timestamp)
    if not grid.is_on(instant):
        return instant, False, 0
    return instant, True, 1 if grid.anchor is None else grid.steps_between(last, instant)
