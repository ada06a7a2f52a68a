"""Validation while a model trains: the streaming protocol on the ends of some training series, held out of windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.covariates import Encoding
from models.data import Series, context_of, static_of
from models.dates.calendar import CALENDAR
from models.evaluation.scoring import last_known
from models.mixture import Mixture, MixtureConfig

HELD_OUT = 56
"""Steps at the end of a held-out series; its earlier steps are trained on."""

WARM_UP = 224
"""Steps that warm the state before the first judged forecast, or two of the longer season, if that is more."""

EVERY = 5
"""One series in so many lends its end."""

MOST = 16
"""Series held out of one source, at most."""

MOST_OWN = 64
"""The same where the series are the user's own."""

OWN_SEASONS = 3
"""Seasons that warm the state of the user's own, if they are more than WARM_UP: before, its index is not settled."""

OWN_SHARE = 8
"""Of the user's own series, one step in so many is held out, at most HELD_OUT of each."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """What of the series of a source is held out.

    Attributes:
        every: one series in so many, `most` of them.
        steps: at the end of each; `warm_up` warm the state before those.
        shortest: steps of a series that can lend its end.
        complete: whether only series without missing values do.
    """

    every: int
    most: int
    steps: int
    warm_up: int
    shortest: int
    complete: bool

    @classmethod
    def of_recipe(cls, config: MixtureConfig) -> "Holdout":
        """Of sources with many series: the ends of some that are long and complete."""
        warm_up = max(WARM_UP, 2 * config.longer)
        return cls(EVERY, MOST, HELD_OUT, warm_up, warm_up + 2 * HELD_OUT + config.horizon, complete=True)

    @classmethod
    def of_own(cls, series: Sequence[Series], config: MixtureConfig) -> "Holdout":
        """Of the user's own: the ends of all, or as many as are worth the time, however short most of them are."""
        typical = int(np.median([len(one) for one in series]))
        steps = min(HELD_OUT, max(typical // OWN_SHARE, 1))
        warm_up = max(min(max(WARM_UP, OWN_SEASONS * config.season), typical - 2 * steps), 1)
        return cls(-(-len(series) // MOST_OWN), MOST_OWN, steps, warm_up, warm_up + 2 * steps, complete=False)

    def takes(self, number: int, series: Series, count: int) -> bool:
        """Whether this one of `count` series lends its end."""
        wanted = number % self.every == self.every - 1 or count == 1
        known = ~np.isnan(series.values)
        enough = known.all() if self.complete else known[-self.warm_up - self.steps : -self.steps].any()
        return bool(wanted and len(series) >= self.shortest and enough)


@dataclass(frozen=True, slots=True)
class Validation:
    """N held-out ends, aligned, with the source that each is from.

    Attributes:
        values: (N, T) float64, the last known one where one is missing; context: (N, T, 5 + W) float32.
        static: (N, 2 S) float64.
        known: (N, T) float64, 0 where a value is missing.
        judged: (N, H) whether each of the last H steps is.
    """

    sources: tuple[str, ...]
    values: Tensor
    known: Tensor
    context: Tensor
    static: Tensor
    judged: Tensor

    def relative_error(self, module: Mixture) -> dict[str, float]:
        """Streaming relMAE by source: predict, then observe; the geometric mean over its held-out ends."""
        if not self.sources:
            return {}
        with torch.no_grad():
            state, steps = module.initial_state(len(self.values), self.static), self.judged.shape[1]
            part = slice(-steps - 1, -1)
            places = torch.arange(self.values.shape[1])[part].expand(len(self.values), -1)
            window, _ = module.unroll_memory(self.values, self.known, self.context, state, places)
            hidden, _ = module.recurrence.sequence(window.inputs, state["recurrent"])
            logs = window.inputs[:, part][..., module.memory.inputs.logs]
            beside = window.inputs[:, part][..., module.memory.inputs.beside].unsqueeze(2)
            weights = module.head.fan_weights([1])
            fan = module.fan(window.memory, logs, hidden[:, part], weights, beside=beside)
            issued = fan[:, :, 0, module.scores.median]
        actual = self.values[:, -steps:]
        error = ((actual - issued).abs() * self.judged).sum(1)
        naive = (actual.diff(dim=1, prepend=self.values[:, part][:, :1]).abs() * self.judged).sum(1)
        floor = 1e-3 * self.values.diff(dim=1).abs().mean(1) + 1e-12
        ratio = torch.log((error + floor) / (naive + floor))
        named = np.array(self.sources)
        rows = {name: torch.from_numpy(named == name) for name in dict.fromkeys(self.sources)}
        return {name: float(ratio[chosen].mean().exp()) for name, chosen in rows.items()}


def validation_parts(
    sources: Sequence[tuple[str, Sequence[Series]]], config: MixtureConfig, *, own: bool = False
) -> tuple[list[list[Series]], Validation]:
    """Split each source: what may be trained on, and the held-out ends of some of its series.

    Args:
        own: the series are the user's own, see `Holdout.of_own`.
    """
    holdout = Holdout.of_own(sources[0][1], config) if own else Holdout.of_recipe(config)
    parts, names, ends = [], [], []
    for name, series in sources:
        lenders = [k for k, one in enumerate(series) if holdout.takes(k, one, len(series))][: holdout.most]
        ends += [series[k] for k in lenders]
        names += [name] * len(lenders)
        parts.append([one.head(len(one) - holdout.steps * (k in lenders)) for k, one in enumerate(series)])
    return parts, _validation(names, ends, holdout, Encoding(config.covariates, config.horizon))


def _validation(names: Sequence[str], ends: Sequence[Series], holdout: Holdout, encoding: Encoding) -> Validation:
    span, steps = holdout.warm_up + holdout.steps, holdout.steps
    values, known = np.zeros((len(ends), span)), np.ones((len(ends), span))
    context = np.zeros((len(ends), span, CALENDAR + encoding.width), np.float32)
    judged = np.zeros((len(ends), steps), bool)
    for row, one in enumerate(ends):
        known[row] = ~np.isnan(one.values[-span:])
        values[row] = _filled(one.values[-span:])
        context[row] = context_of(one, encoding)[-span:]
        judged[row] = (known[row, -steps:] > 0.0) & ~one.imputed[-steps:]
    tensors = map(torch.from_numpy, (values, known, context, static_of(ends, encoding), judged))
    return Validation(tuple(names), *tensors)


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value, or where it is missing the last one known, before the first known one that itself."""
    filled = last_known(values)
    return np.where(np.isnan(filled), values[~np.isnan(values)][0], filled)
