"""The forecaster: streaming expert forecasts kept by the fold, weighed by an LSTM gate.

One module, two ways to run it. `step` folds one observation and is what gets compiled for serving; `unroll` folds a
window in one pass, through `nn.LSTM`, and is what training needs, because gradients must cross time. Both are the same
function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from models.dates.calendar import CALENDAR
from models.fold import Layer, State
from models.layers.experts import Sight, error_logs
from models.layers.lstm import Recurrence
from models.layers.memory import Memory
from models.layers.quantiles import MixtureHead
from models.layers.scale import scale_of
from models.layers.scores import RunningScores

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


@dataclass(frozen=True, slots=True)
class MixtureConfig:
    """The architecture; with the weights it decides every bit of a forecast."""

    season: int = 7
    horizon: int = 14
    quantiles: tuple[float, ...] = QUANTILES
    hidden: int = 64
    layers: int = 1


@dataclass(frozen=True, slots=True)
class Views:
    """A folded window as the network and its head see it; leading dimensions (B, T) or any selection of them.

    Args:
        memory: the memory's arrays after each step.
        inputs: (..., F) float32, the recurrence's inputs.
        logs: each (..., K) float32, of the experts' errors.
    """

    memory: State
    inputs: Tensor
    logs: tuple[Tensor, Tensor]


class Mixture(Layer):
    """The composition of memory, recurrence, head and scores."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.memory = Memory(config.season)
        self.warm = float(4 * config.season)
        self.recurrence = Recurrence(self.memory.shown + 2 + CALENDAR, config.hidden, config.layers)
        self.head = MixtureHead(
            season=config.season, horizon=config.horizon, quantiles=config.quantiles, hidden=config.hidden
        )
        self.scores = RunningScores(config.quantiles)
        self.fields = self.memory.fields + self.scores.fields + self.recurrence.fields

    def step(self, x: tuple[Tensor, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold one observation of each session.

        Args:
            x: values (B,) float64, NaN where missing, and calendar features (B, 5) float32.
        Returns:
            (B, Q) float64, quantiles of the next step; zeros until a first value is known.
        """
        values, calendar = x
        value = values.unsqueeze(1)
        missing = torch.isnan(value)
        median = self.scores.median
        stand_in = torch.where(missing, state["issued"][:, median : median + 1], value)
        known = 1.0 - missing.double()
        looked, memory = self.memory.step((stand_in, known), state)
        inputs, sight = self.inputs(memory, looked, missing, calendar)
        hidden, recurrence = self.recurrence.step(inputs, state)
        started = memory["seen"].clamp(max=1.0)
        recurrence = {name: new * started.float().unsqueeze(2) for name, new in recurrence.items()}
        issued = self.head.next(memory, hidden, sight) * started
        scores = self.scores.judge(stand_in, state["ring"][:, -1:], state["issued"])
        scored = known * state["seen"].clamp(max=1.0)
        _, kept = self.scores.step((scores, scored), state)
        return issued, {**memory, "issued": issued, **kept, **recurrence}

    def forecast(self, state: Mapping[str, Tensor]) -> Tensor:
        """The fan: (B, H, Q) float64 from the state alone; its first step is what `step` issued."""
        hidden = state["lstm.h"][:, -1]
        fan: Tensor = self.head(state, hidden, error_logs(state, scale_of(state)), self.config.horizon)
        return fan * (state["seen"] > 0.0).unsqueeze(2)

    def inputs(
        self, memory: Mapping[str, Tensor], looked: tuple[Tensor, Tensor], missing: Tensor, calendar: Tensor
    ) -> tuple[Tensor, Sight]:
        """The recurrence's inputs (..., F) and what the head shares with them; any leading dimensions."""
        shown, sight = self.memory.look(memory, *looked)
        age = (memory["seen"] / self.warm).clamp(max=1.0).float()
        return torch.cat([shown, age, missing.float(), calendar], dim=-1), sight

    def unroll_memory(
        self, values: Tensor, known: Tensor, calendar: Tensor, state: Mapping[str, Tensor]
    ) -> tuple[Views, State]:
        """Fold a window of values (B, T) without gradient: none of it depends on weights.

        Args:
            values: stand-ins in place of missing ones; `known` (B, T) is 0 for those.
            calendar: (B, T, 5) float32.
        Returns:
            The window as the network sees it, and the memory's last state.
        """
        with torch.no_grad():
            steps, looks, current = [], [], {f.name: state[f.name] for f in self.memory.fields}
            for value, flag in zip(values.unbind(1), known.unbind(1), strict=True):
                looked, current = self.memory.step((value.unsqueeze(1), flag.unsqueeze(1)), current)
                steps.append(current)
                looks.append(looked)
            memory = {name: torch.stack([step[name] for step in steps], dim=1) for name in current}
            missing = (known == 0.0).unsqueeze(2)
            errors, products = (torch.stack(column, dim=1) for column in zip(*looks, strict=True))
            inputs, sight = self.inputs(memory, (errors, products), missing, calendar)
        return Views(memory, inputs, sight.logs), current

    def unroll(  # type: ignore[override]
        self, values: Tensor, calendar: Tensor, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        """Fold a window in one pass of `nn.LSTM` for each stretch that no missing value interrupts.

        A missing value is stood in for by the median that was issued for it, so the pass pauses there for that median.

        Args:
            values: (B, T) float64, NaN where missing.
            calendar: (B, T, 5) float32.
        Returns:
            (B, T, H, Q) float64, the fan after each observation, and the state after the last one.
        """
        missing = torch.isnan(values)
        paused = missing.any(dim=0).nonzero().flatten().tolist()
        unstarted = missing.cumprod(dim=1).any(dim=0).nonzero().flatten() + 1
        edges = sorted({0, *paused, *unstarted.tolist(), values.shape[1]})
        fans, current = [], dict(state)
        for start, end in pairwise(edges):
            fan, current = self._stretch(values[:, start:end], calendar[:, start:end], current)
            fans.append(fan)
        return torch.cat(fans, dim=1), current

    def _stretch(self, values: Tensor, calendar: Tensor, state: State) -> tuple[Tensor, State]:
        """Unroll over values (B, T) of which only the first may be missing; where it starts no session, T is 1."""
        median = self.scores.median
        missing = torch.isnan(values)
        values = torch.where(missing, state["issued"][:, median : median + 1].detach(), values)
        known = 1.0 - missing.double()
        views, memory = self.unroll_memory(values, known, calendar, state)
        hidden, recurrence = self.recurrence.sequence(views.inputs, state)
        started = views.memory["seen"] > 0.0
        begun = started[:, :1]  # a session that a stretch does not start has no other step in it
        recurrence = {name: torch.where(begun, new, state[name]) for name, new in recurrence.items()}
        fan = self.head(views.memory, hidden, views.logs, self.config.horizon) * started.unsqueeze(3)
        issued = torch.cat([state["issued"].unsqueeze(1), fan[:, :, 0].detach()], dim=1)
        before = torch.cat([state["ring"].unsqueeze(1), views.memory["ring"]], dim=1)[:, :-1, -1:]
        seen = torch.cat([state["seen"].unsqueeze(1), views.memory["seen"]], dim=1)[:, :-1]
        judged = self.scores.judge(values.unsqueeze(2), before, issued[:, :-1])
        scored = known.unsqueeze(2) * seen.clamp(max=1.0)
        pairs = zip(judged.unbind(1), scored.unbind(1), strict=True)
        _, kept = self.scores.unroll(pairs, {f.name: state[f.name] for f in self.scores.fields})
        return fan, {**memory, **kept, "issued": issued[:, -1], **recurrence}
