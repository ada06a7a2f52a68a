"""The streaming protocol on the test parts of data files: predict, then observe, with the weights frozen.

A model's state is warmed on the training part; then each test value is forecast, revealed to the state, and so on. The
fan for the horizon protocol is what the state gives at the end of the training part. This runs through the serving
runtime: what is scored is what is served.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from models.artifacts.artifact import load_module
from models.artifacts.runtime import Model
from models.covariates import Covariates, Encoding
from models.data import Series, context_of, digest, static_of
from models.dates.calendar import CALENDAR
from models.evaluation import baselines
from models.evaluation.collections import ALL, Files, collect
from models.evaluation.scoring import HorizonScores, Issued, StreamScores, horizon_scores, intervals, stream_scores
from models.mixture import MixtureConfig
from models.threads import one_thread

WARM_UP = 560
"""Training steps that warm a state before the test part, at most.

With daily@1 the whole training part (up to 16,000 steps) gives a relMAE that is .001 to .006 higher, 160 steps one that
is .001 to .003 lower.
"""

LONG_SEASONS = 6
"""Seasons of the longer kind that warm a state, if they are more than that: its index takes about as many to settle."""

TOGETHER = 256
"""Series folded in one batch; a session's bits do not depend on it."""

WITHOUT = Encoding(Covariates(), 1)
"""Of models that take no covariates."""

Array = NDArray[np.float64]
States = TypeVar("States")


class Forecaster(Protocol[States]):
    """A fold that forecasts: a served model, or a baseline that can be stepped like one."""

    raises_alarms: bool

    def initial_state(self, batch: int, static: Array | None = None) -> States: ...

    def step(self, states: States, values: Array, calendar: NDArray[np.float32]) -> tuple[States, Array]: ...

    def forecast(self, states: States) -> Array: ...

    def alarmed(self, states: States) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One forecaster on one collection."""

    collection: str
    forecaster: str
    stream: StreamScores
    horizon: HorizonScores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of a model and of the baselines it must beat.

    Attributes:
        rows: by collection, the model first; with more than one collection, "all" comes last, every series alike.
        sha256: of the rows read, by collection.
        warnings: what of the files may surprise, each of one line.
    """

    model: str
    warm_up: int
    rows: list[Row]
    sha256: dict[str, str]
    warnings: list[str] = field(default_factory=list)

    def row(self, collection: str, forecaster: str) -> Row:
        """The row of this collection and forecaster; KeyError if there is none."""
        for row in self.rows:
            if (row.collection, row.forecaster) == (collection, forecaster):
                return row
        raise KeyError((collection, forecaster))


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to score, and how.

    Attributes:
        warm_up: training steps that warm the state, at most (more where the model has a longer season); None takes the
            whole training part.
        out: a folder to write the model's forecasts to, for other scorers; None writes nothing.
        others: models that are scored beside this one, by the name of their rows; of its covariates, or of none.
    """

    files: Files
    warm_up: int | None = WARM_UP
    out: Path | None = None
    others: Mapping[str, Model] = field(default_factory=dict)


Told = Callable[[str, Sequence[Series], Sequence[Issued], int], None]
"""Is told what a forecaster issued for the series of a collection, and the season that it was scored with."""


def evaluate(
    model: Model, options: EvaluateOptions, note: Callable[[str], None] | None = None, told: Told | None = None
) -> Evaluation:
    """Score a published model, and beside it naive, seasonal naive, the mixture without a network, and the model's own
    weights without calibration where it has one.

    Raises:
        DataError: a file cannot be used, or has no test part.
    """
    say = note or (lambda _: None)
    longest = LONG_SEASONS * int(model.spec.architecture.get("longer", 0))
    warm_up = options.warm_up and max(options.warm_up, longest)
    everything: dict[str, tuple[list[Series], list[Issued], list[int]]] = {}
    rows: list[Row] = []
    collections = collect(options.files, model)
    warnings = [line for one in collections for line in one.warnings]
    for line in warnings:
        say(f"warning: {line}")
    for one in collections:
        found = forecasts(model, one.series, season=one.season, warm_up=warm_up, others=options.others)
        for name, issued in found:
            rows.append(_row(one.name, name, one.series, issued, one.season))
            series, forecast, seasons = everything.setdefault(name, ([], [], []))
            series += one.series
            forecast += issued
            seasons += [one.season] * len(issued)
            if told is not None:
                told(name, one.series, issued, one.season)
            say(f"{one.name}, {name}: {_told(rows[-1].stream.relative_mae)}")
            if options.out is not None and name == model.spec.label:
                write(options.out, one.name, one.series, issued)
    if len(collections) > 1:
        rows += [_row(ALL, name, *gathered) for name, gathered in everything.items()]
    hashes = {one.name: digest(one.series) for one in collections}
    return Evaluation(model.spec.label, warm_up or 0, rows, hashes, warnings)


def forecasts(
    model: Model, series: Sequence[Series], *, season: int, warm_up: int | None, others: Mapping[str, Model]
) -> Iterator[tuple[str, list[Issued]]]:
    """By forecaster, the model first, what each issued for the test part of every series."""
    spec = model.spec
    yield spec.label, stream(model, series, spec.quantiles, warm_up, model.encoding)
    bare = [replace(one, covariates=None, static=None) for one in series]
    for name, other in others.items():
        known = series if other.encoding.covariates.names else bare
        yield name, stream(other, known, other.spec.quantiles, warm_up, other.encoding)
    unserved = {baselines.NO_NETWORK: baselines.Unserved.without_network(MixtureConfig.of(spec.architecture))}
    if spec.architecture.get("anchors"):
        module = load_module(model.folder)
        unserved = {baselines.UNCALIBRATED: baselines.Unserved.without_calibration(module), **unserved}
    for name, forecaster in unserved.items():
        with one_thread():
            issued = stream(forecaster, series, spec.quantiles, warm_up, model.encoding)
        yield name, issued
    yield baselines.SEASONAL_NAIVE, baselines.seasonal_naive(series, spec.horizon, season)
    yield baselines.NAIVE, baselines.naive(series, spec.horizon)


def stream(
    forecaster: Forecaster[States],
    series: Sequence[Series],
    quantiles: tuple[float, ...],
    warm_up: int | None,
    encoding: Encoding = WITHOUT,
) -> list[Issued]:
    """Run the protocol over each series' last `warm_up` training steps and its test part, many series in lockstep."""
    order = sorted(range(len(series)), key=lambda k: (series[k].test_steps, len(series[k])))
    issued: dict[int, Issued] = {}
    for start in range(0, len(order), TOGETHER):
        group = order[start : start + TOGETHER]
        by_test: dict[int, list[int]] = {}
        for k in group:
            by_test.setdefault(series[k].test_steps, []).append(k)
        for members in by_test.values():
            found = _lockstep(forecaster, [series[k] for k in members], quantiles, warm_up, encoding)
            issued.update(zip(members, found, strict=True))
    return [issued[k] for k in range(len(series))]


def _lockstep(
    forecaster: Forecaster[States],
    series: Sequence[Series],
    quantiles: tuple[float, ...],
    warm_up: int | None,
    encoding: Encoding,
) -> list[Issued]:
    """Series with test parts of one length, aligned at their ends; before its first value a session is not started."""
    test = series[0].test_steps
    known = max(one.train_steps if warm_up is None else min(one.train_steps, warm_up) for one in series)
    span = known + test
    values = np.full((len(series), span), np.nan)
    context = np.zeros((len(series), span, CALENDAR + encoding.width), dtype=np.float32)
    for k, one in enumerate(series):
        length = min(len(one), span)
        values[k, span - length :] = one.values[-length:]
        context[k, span - length :] = context_of(one, encoding)[-length:]
    states = forecaster.initial_state(len(series), static_of(series, encoding))
    one_step = np.empty((len(series), test, len(quantiles)))
    fan, alarms = np.empty(0), np.zeros(len(series), np.int64)
    for t in range(span):
        states, upcoming = forecaster.step(states, values[:, t].copy(), np.ascontiguousarray(context[:, t]))
        if known - 1 <= t < span - 1:
            one_step[:, t - known + 1] = upcoming
        if t == known - 1:
            fan = forecaster.forecast(states)
        if t >= known:
            alarms += forecaster.alarmed(states) == 1
    raised: list[Any] = alarms.tolist() if forecaster.raises_alarms else [None] * len(series)
    return [Issued(one_step[k], fan[k], quantiles, raised[k]) for k in range(len(series))]


def write(folder: Path, collection: str, series: Sequence[Series], issued: Sequence[Issued]) -> list[Path]:
    """Write forecasts for other scorers: `COLLECTION.stream.parquet` and `COLLECTION.horizon.parquet`.

    Columns: unique_id, origin (test steps known when the forecast was made), h (steps ahead of it), y_hat, lo_80 and
    hi_80 and so on for every level, q_0.025 and so on for every quantile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for protocol in ("stream", "horizon"):
        streaming = protocol == "stream"
        pairs = zip(series, issued, strict=True)
        parts = [its.stream if streaming else its.fan[: one.test_steps] for one, its in pairs]
        counts = [len(part) for part in parts]
        positions = np.concatenate([np.arange(count) for count in counts])
        quantiles = np.concatenate(parts)
        columns: dict[str, Any] = {
            "unique_id": np.repeat([one.unique_id for one in series], counts),
            "origin": positions if streaming else np.zeros_like(positions),
            "h": np.ones_like(positions) if streaming else positions + 1,
            "y_hat": quantiles[:, quantiles.shape[1] // 2],
        }
        for level, (low, high) in intervals(issued[0].quantiles).items():
            columns |= {f"lo_{level}": quantiles[:, low], f"hi_{level}": quantiles[:, high]}
        columns |= {f"q_{q:g}": quantiles[:, k] for k, q in enumerate(issued[0].quantiles)}
        path = folder / f"{collection}.{protocol}.parquet"
        pyarrow.parquet.write_table(pa.table(columns), path)
        written.append(path)
    return written


def _row(
    collection: str, name: str, series: Sequence[Series], issued: Sequence[Issued], season: int | Sequence[int]
) -> Row:
    return Row(collection, name, stream_scores(series, issued), horizon_scores(series, issued, season))


def _told(relative_mae: float) -> str:
    return "no relMAE" if isnan(relative_mae) else f"relMAE {relative_mae:.4f}"
