"""The forecaster: streaming expert forecasts kept by the fold, weighed by an LSTM gate.

One module, two ways to run it. `step` folds one observation and is what gets compiled for serving; `unroll` folds a
window in one pass, through `nn.LSTM`, and is what training needs, because gradients must cross time. Both are the same
function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from models.fold import State
from models.layers.inputs import ERRORS
from models.layers.lstm import Recur, Recurrence
from models.layers.memory import Memory, Step
from models.layers.quantiles import MixtureHead, NextWeights
from models.layers.scale import scale_of
from models.layers.scores import RunningScores
from models.layout import Field

BLOCKS = ("memory", "issued", "scores", "recurrent")
QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)

STATE_DTYPES = {"float32": "<f4", "float16": "<f2"}
"""Of hidden and cell states, as a configuration and as a state's layout name them."""

Recurrent = TypeVar("Recurrent")
Past = tuple[Tensor, Tensor, Tensor]
"""The state outside of the recurrence: memory (B, M), issued (B, Q), scores (B, 12)."""


@dataclass(frozen=True, slots=True)
class MixtureConfig:
    """The architecture; with the weights it decides every bit of a forecast.

    `state` is the type of hidden and cell states: in float16 they are rounded at each step, and take half the bytes.
    """

    season: int = 7
    horizon: int = 14
    quantiles: tuple[float, ...] = QUANTILES
    hidden: int = 64
    layers: int = 1
    state: str = "float32"

    def __post_init__(self) -> None:
        if self.state not in STATE_DTYPES:
            raise ValueError(f"a state is {' or '.join(STATE_DTYPES)}, not {self.state!r}")


@dataclass(frozen=True, slots=True)
class Views:
    """A folded window as the network and its head see it; leading dimensions (B, T) or any selection of them.

    Args:
        memory: (..., M) float64, the memory's row after each step.
        inputs: (..., width) float32, the row of inputs.
    """

    memory: Tensor
    inputs: Tensor

    def __getitem__(self, chosen: Any) -> Views:  # noqa: ANN401 - whatever indexes a tensor
        """Of some windows, some steps."""
        return Views(self.memory[chosen], self.inputs[chosen])


@dataclass(frozen=True, slots=True)
class StepWeights:
    """Weights of the step as it is run: for the row of inputs as it is, and the head's for the next step alone."""

    embedding: Tensor
    bias: Tensor
    head: NextWeights


class Mixture(nn.Module):
    """The composition of memory, recurrence, head and scores."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.memory = Memory(config.season)
        dtype = STATE_DTYPES[config.state]
        self.recurrence = Recurrence(self.memory.inputs.mixing(), config.hidden, config.layers, dtype)
        self.head = MixtureHead(
            season=config.season, horizon=config.horizon, quantiles=config.quantiles, hidden=config.hidden
        )
        self.scores = RunningScores(config.quantiles)
        issued = Field("issued", "<f8", (len(config.quantiles),))
        self.blocks = {
            "memory": self.memory.fields,
            "issued": (issued,),
            "scores": self.scores.fields,
            "recurrent": self.recurrence.fields,
        }
        self.fields = tuple(field for fields in self.blocks.values() for field in fields)

    def initial_state(self, batch: int) -> State:
        """The state of `batch` sessions that have seen nothing: zeros."""
        issued = torch.zeros(batch, len(self.config.quantiles), dtype=torch.float64)
        memory, scores = self.memory.initial_state(batch), self.scores.initial_state(batch)
        return {
            "memory": memory,
            "issued": issued,
            "scores": scores,
            "recurrent": self.recurrence.initial_state(batch),
        }

    def arrays(self, state: State) -> dict[str, Tensor]:
        """The state as the named arrays of its layout, each (B, *shape)."""
        arrays: dict[str, Tensor] = {}
        for name, fields in self.blocks.items():
            block = state[name].transpose(0, 1) if state[name].dim() > 2 else state[name]
            parts = torch.split(block.flatten(1), [field.width for field in fields], dim=1)
            arrays |= {f.name: part.reshape(-1, *f.shape) for f, part in zip(fields, parts, strict=True)}
        return arrays

    def state_of(self, arrays: Mapping[str, Tensor]) -> State:
        """The inverse of `arrays`."""
        state = {name: torch.cat([arrays[f.name].flatten(1) for f in self.blocks[name]], dim=1) for name in self.blocks}
        rows = state["recurrent"].reshape(len(state["recurrent"]), -1, self.config.hidden)
        return {**state, "recurrent": rows.transpose(0, 1).contiguous()}

    def step(self, x: tuple[Tensor, Tensor], state: State) -> tuple[Tensor, State]:
        """Fold one observation of each session.

        Args:
            x: values (B,) float64, NaN where missing, and calendar features (B, 5) float32.
        Returns:
            (B, Q) float64, quantiles of the next step; zeros until a first value is known.
        """
        values, calendar = x

        def recur(embedded: Tensor, started: Tensor) -> tuple[Tensor, Tensor]:
            return self.recurrence.recur(embedded, state["recurrent"], started)

        past = (state["memory"], state["issued"], state["scores"])
        new, recurrent = self.fold(values.unsqueeze(1), calendar, past, self.step_weights(), recur)
        return new[1], {**dict(zip(BLOCKS, new, strict=False)), "recurrent": recurrent}

    def step_weights(self) -> StepWeights:
        """What `fold` computes with, of the parameters as they are."""
        return StepWeights(self.recurrence.embedding(), self.recurrence.embed.bias, self.head.next_weights())

    def fold(
        self, value: Tensor, calendar: Tensor, past: Past, weights: StepWeights, recur: Recur[Recurrent]
    ) -> tuple[Past, Recurrent]:
        """One step of values (B, 1), from the state outside of the recurrence to the new one.

        `recur` runs the LSTM and holds its state, as torch or the serving runtime does.
        """
        row, issued, scores = past
        unknown = torch.isnan(value)
        missing = unknown.double()
        value = torch.where(unknown, issued[:, self.scores.median : self.scores.median + 1], value)
        step = self.memory.step(value, missing, row)
        sight = self.memory.look(step)
        inputs = torch.cat([sight.compressed, sight.logs, step.flags, calendar], dim=-1)
        seen = self.memory.columns.seen
        started = step.row[:, seen].clamp(max=1.0)
        hidden, recurrent = recur(silu(linear(inputs, weights.embedding, weights.bias)), started)
        scored = (1.0 - missing) * row[:, seen].clamp(max=1.0)
        scores = self.scores.step(value, issued, step.errors.abs(), scored, scores)
        issued = self.head.next(value, sight.scale * started, hidden, inputs, sight.gaps, weights.head)
        return (step.row, issued, scores), recurrent

    def forecast(self, state: State) -> Tensor:
        """The fan: (B, H, Q) float64 from the state alone; its first step is what `step` issued."""
        return self.forecast_of(state["memory"], state["issued"], self.recurrence.top(state["recurrent"]))

    def forecast_of(self, row: Tensor, issued: Tensor, hidden: Tensor) -> Tensor:
        """The fan, of the parts of a state that it needs."""
        scale, logs = scale_of(row[:, self.memory.columns.scale]), self.memory.logs(row)
        fan: Tensor = self.head(row, hidden, logs, scale, self.config.horizon)
        later = fan[:, 1:] * (row[:, self.memory.columns.seen] > 0.0).unsqueeze(2)
        return torch.cat([issued.unsqueeze(1), later], dim=1)

    def unroll_memory(self, values: Tensor, known: Tensor, calendar: Tensor, row: Tensor) -> tuple[Views, Tensor]:
        """Fold a window of values (B, T) without gradient: none of it depends on weights.

        Args:
            values: stand-ins in place of missing ones; `known` (B, T) is 0 for those.
            calendar: (B, T, 5) float32.
            row: (B, M) the memory before the window.
        Returns:
            The window as the network sees it, and the memory after it.
        """
        with torch.no_grad():
            steps = []
            for value, flag in zip(values.unbind(1), known.unbind(1), strict=True):
                steps.append(self.memory.step(value.unsqueeze(1), 1.0 - flag.unsqueeze(1), row))
                row = steps[-1].row
            window = Step.stack(steps)
            sight = self.memory.look(window)
            inputs = torch.cat([sight.compressed, sight.logs, window.flags, calendar], dim=-1)
        return Views(window.row, inputs), row

    def fan(self, views: Views, hidden: Tensor, horizon: int) -> Tensor:
        """(..., H, Q) float64: the fans of steps (...) of a window, from the recurrence's outputs (..., hidden)."""
        scale = scale_of(views.memory[..., self.memory.columns.scale])
        fan: Tensor = self.head(views.memory, hidden, views.inputs[..., self.memory.inputs.logs], scale, horizon)
        return fan

    def unroll(self, values: Tensor, calendar: Tensor, state: State) -> tuple[Tensor, State]:
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
        fans, current = [], state
        for start, end in pairwise(edges):
            fan, current = self._stretch(values[:, start:end], calendar[:, start:end], current)
            fans.append(fan)
        return torch.cat(fans, dim=1), current

    def _stretch(self, values: Tensor, calendar: Tensor, state: State) -> tuple[Tensor, State]:
        """Unroll over values (B, T) of which only the first may be missing; where it starts no session, T is 1."""
        median, columns = self.scores.median, self.memory.columns
        missing = torch.isnan(values)
        values = torch.where(missing, state["issued"][:, median : median + 1].detach(), values)
        known = 1.0 - missing.double()
        views, memory = self.unroll_memory(values, known, calendar, state["memory"])
        hidden, recurrent = self.recurrence.unroll(views.inputs, state["recurrent"])
        started = views.memory[..., columns.seen] > 0.0
        # a session that a stretch does not start has no other step in it
        recurrent = torch.where(started[:, 0], recurrent, state["recurrent"])
        fan = self.fan(views, hidden, self.config.horizon) * started.unsqueeze(3)
        issued = torch.cat([state["issued"].unsqueeze(1), fan[:, :, 0].detach()], dim=1)
        rows = torch.cat([state["memory"].unsqueeze(1), views.memory], dim=1)
        changes = rows[..., columns.ring.stop - 1].diff(dim=1).abs()
        scored = known * rows[:, :-1, columns.seen.start].clamp(max=1.0)
        scores = state["scores"]
        for t in range(values.shape[1]):
            sizes = changes[:, t : t + 1].expand(-1, ERRORS)
            scores = self.scores.step(values[:, t : t + 1], issued[:, t], sizes, scored[:, t : t + 1], scores)
        return fan, {"memory": memory, "issued": issued[:, -1], "scores": scores, "recurrent": recurrent}
