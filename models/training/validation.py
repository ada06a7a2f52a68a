"""Validation while a model trains: the streaming protocol on the ends of some training series, held out of windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.data import Series, calendar_of
from models.mixture import Mixture, MixtureConfig

HELD_OUT = 56
"""Steps at the end of a held-out series; its earlier steps are trained on."""

WARM_UP = 224
"""Steps that warm the state before the first judged forecast, or two of the longer season, if that is more."""

EVERY = 5
"""One series in so many lends its end."""

MOST = 16
"""Series held out of one source, at most."""


@dataclass(frozen=True, slots=True)
class Validation:
    """N held-out ends, aligned, with the source that each is from.

    Attributes:
        values: (N, T) float64, of which the last HELD_OUT are judged; calendar: (N, T, 5) float32.
    """

    sources: tuple[str, ...]
    values: Tensor
    calendar: Tensor
    judged: Tensor

    def relative_error(self, module: Mixture) -> dict[str, float]:
        """Streaming relMAE by source: predict, then observe; the geometric mean over its held-out ends."""
        if not self.sources:
            return {}
        with torch.no_grad():
            state, known = module.initial_state(len(self.values)), torch.ones_like(self.values)
            part = slice(-HELD_OUT - 1, -1)
            places = torch.arange(self.values.shape[1])[part].expand(len(self.values), -1)
            window, _ = module.unroll_memory(self.values, known, self.calendar, state, places)
            hidden, _ = module.recurrence.sequence(window.inputs, state["recurrent"])
            logs = window.inputs[:, part][..., module.memory.inputs.logs]
            fan = module.fan(window.memory, logs, hidden[:, part], module.head.fan_weights([1]))
            issued = fan[:, :, 0, module.scores.median]
        error = ((self.values[:, -HELD_OUT:] - issued).abs() * self.judged).sum(1)
        naive = (self.values[:, -HELD_OUT:].diff(dim=1, prepend=self.values[:, part][:, :1]).abs() * self.judged).sum(1)
        floor = 1e-3 * self.values.diff(dim=1).abs().mean(1) + 1e-12
        ratio = torch.log((error + floor) / (naive + floor))
        named = np.array(self.sources)
        rows = {name: torch.from_numpy(named == name) for name in dict.fromkeys(self.sources)}
        return {name: float(ratio[chosen].mean().exp()) for name, chosen in rows.items()}


def validation_parts(
    sources: Sequence[tuple[str, Sequence[Series]]], config: MixtureConfig
) -> tuple[list[list[Series]], Validation]:
    """Split each source: what may be trained on, and the held-out ends of some of its complete, long enough series."""
    parts, names, ends = [], [], []
    warm_up = max(WARM_UP, 2 * config.longer)
    for name, series in sources:
        part, taken = [], 0
        for k, one in enumerate(series):
            wanted = k % EVERY == EVERY - 1 or len(series) == 1
            long_enough = len(one) >= warm_up + 2 * HELD_OUT + config.horizon and not np.isnan(one.values).any()
            if wanted and long_enough and taken < MOST:
                ends.append(one)
                names.append(name)
                taken += 1
                part.append(one.head(len(one) - HELD_OUT))
            else:
                part.append(one)
        parts.append(part)
    span = slice(-warm_up - HELD_OUT, None)
    empty = np.zeros((0, warm_up + HELD_OUT))
    values = np.stack([one.values[span] for one in ends]) if ends else empty
    calendar = np.stack([calendar_of(one)[span] for one in ends]) if ends else np.zeros((*empty.shape, 5))
    judged = np.stack([~one.imputed[-HELD_OUT:] for one in ends]) if ends else np.zeros((0, HELD_OUT), dtype=bool)
    tensors = (torch.from_numpy(values), torch.from_numpy(calendar.astype(np.float32)), torch.from_numpy(judged))
    return parts, Validation(tuple(names), *tensors)
