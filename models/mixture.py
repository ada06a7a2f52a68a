"""The forecaster: streaming expert forecasts kept by the fold, weighed by an LSTM gate.

One module, two ways to run it. `step` folds one observation and is what gets compiled for serving; `unroll` folds a
window in one pass, through `nn.LSTM`, and is what training needs, because gradients must cross time. Both are the same
function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from models.architecture import QUANTILES, STATE_DTYPES, MixtureConfig
from models.fold import State
from models.layers.beside import Beside
from models.layers.calibration import Calibration
from models.layers.drift import Drift
from models.layers.lstm import Recur, Recurrence
from models.layers.memory import Memory
from models.layers.origin import Origin, turned
from models.layers.quantiles import FanWeights, MixtureHead, NextWeights
from models.layers.scale import scale_of
from models.layers.scores import RunningScores
from models.layers.trust import RIVALS, Trust
from models.layers.window import Window, fold_window
from models.layout import Field
from models.spread import widened

__all__ = ["QUANTILES", "STATE_DTYPES", "Mixture", "MixtureConfig"]

Recurrent = TypeVar("Recurrent")
Past = Mapping[str, Tensor]
"""The state outside of the recurrence, by block."""

@dataclass(frozen=True, slots=True)
class StepWeights:
    """Weights of the step as it is run: for the row of inputs as it is, and the head's for what the step issues."""

    embedding: Tensor
    bias: Tensor
    next: NextWeights


class Mixture(nn.Module):
    """The composition of memory, recurrence, head, calibration, drift and scores."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.memory = Memory(config.memory)
        dtype = STATE_DTYPES[config.state]
        self.recurrence = Recurrence(self.memory.inputs.mixing(), config.hidden, config.layers, dtype)
        self.head = MixtureHead(
            self.memory.columns,
            horizon=config.horizon,
            quantiles=config.quantiles,
            hidden=config.hidden,
            rivals=config.trust,
        )
        self.scores = RunningScores(config.quantiles, self.memory.inputs.kinds, last_known=config.last_known)
        self.calibration = Calibration(config.quantiles, config.anchors, config.horizon) if config.anchors else None
        self.origin = None
        if config.far:
            self.origin = Origin(
                self.memory.columns,
                config.anchors[1:],
                quantiles=len(config.quantiles),
                every=config.horizon,
                before=self.memory.levels,
            )
        self.drift = Drift(self.memory.settled) if config.drift else None
        self.trust = Trust() if config.trust else None
        self.beside = Beside(config.covariates, config.horizon)
        issued = Field("issued", "<f8", (len(config.quantiles),))
        self.blocks = {"memory": self.memory.fields, "issued": (issued,), "scores": self.scores.fields}
        for name, part in self._parts():
            self.blocks[name] = part.fields
            if isinstance(part, Origin) and part.anchors:
                self.blocks["fan"] = (part.fan,)
        self.blocks |= {**self.beside.blocks, "recurrent": self.recurrence.fields}
        self.fields = tuple(field for block in self.blocks.values() for field in block)

    def initial_state(self, batch: int, static: Tensor | None = None) -> State:
        """The state of `batch` sessions that have seen nothing: zeros, but for known static covariates (B, 2 S)."""
        issued = torch.zeros(batch, len(self.config.quantiles), dtype=torch.float64)
        initial = {name: part.initial_state(batch) for name, part in self._parts()}
        initial |= {"memory": self.memory.initial_state(batch), "scores": self.scores.initial_state(batch)}
        for field in self.blocks.get("fan", ()):
            initial["fan"] = torch.zeros(batch, field.width, dtype=torch.float64)
        initial |= {"issued": issued, "recurrent": self.recurrence.initial_state(batch)}
        initial |= self.beside.initial_state(batch, static)
        return {name: initial[name] for name in self.blocks}

    def _parts(self) -> list[tuple[str, Calibration | Origin | Drift | Trust]]:
        """Those that a model may lack, as they stand in a state, by the names of their blocks."""
        named = {"calibration": self.calibration, "origin": self.origin, "drift": self.drift, "trust": self.trust}
        return [(name, part) for name, part in named.items() if part is not None]

    def arrays(self, state: State) -> dict[str, Tensor]:
        """The state as the named arrays of its layout, each (B, *shape)."""
        arrays: dict[str, Tensor] = {}
        for name, named in self.blocks.items():
            block = state[name].transpose(0, 1) if state[name].dim() > 2 else state[name]
            parts = torch.split(block.flatten(1), [field.width for field in named], dim=1)
            arrays |= {f.name: part.reshape(-1, *f.shape) for f, part in zip(named, parts, strict=True)}
        return arrays

    def state_of(self, arrays: Mapping[str, Tensor]) -> State:
        """The inverse of `arrays`."""
        state = {name: torch.cat([arrays[f.name].flatten(1) for f in self.blocks[name]], dim=1) for name in self.blocks}
        rows = state["recurrent"].reshape(len(state["recurrent"]), -1, self.config.hidden)
        return {**state, "recurrent": rows.transpose(0, 1).contiguous()}

    def step(self, x: tuple[Tensor, Tensor], state: State) -> tuple[Tensor, State]:
        """Fold one observation of each session.

        Args:
            x: values (B,) float64, NaN where missing, and contexts (B, 5 + W) float32, see `Beside`.
        Returns:
            (B, Q) float64, quantiles of the next step; zeros until a first value is known.
        """
        values, context = x

        def recur(embedded: Tensor, started: Tensor) -> tuple[Tensor, Tensor]:
            return self.recurrence.recur(embedded, state["recurrent"], started)

        new, recurrent = self.fold(values.unsqueeze(1), context, state, self.step_weights(), recur)
        state = self._renewed({**state, **new, "recurrent": recurrent})
        if self.config.last_known and values.isnan().any():
            state = self._reissued(state)
        return state["issued"], state

    def step_weights(self) -> StepWeights:
        """What `fold` computes with, of the parameters as they are."""
        return StepWeights(self.recurrence.embedding(), self.recurrence.embed.bias, self.head.next_weights())

    def fold(
        self, value: Tensor, context: Tensor, past: Past, weights: StepWeights, recur: Recur[Recurrent]
    ) -> tuple[State, Recurrent]:
        """One step of values (B, 1), from the state outside of the recurrence to what changes of it; renews no origin.

        `recur` runs the LSTM and holds its state, as torch or the serving runtime does.
        """
        row, issued = past["memory"], past["issued"]
        unknown = torch.isnan(value)
        missing = unknown.double()
        median = issued[:, self.scores.median : self.scores.median + 1]
        value = torch.where(unknown, median, value)
        new, expected = turned(self.origin, past)
        step = self.memory.step(value, missing, row, expected)
        new["memory"] = step.row
        sight = self.memory.look(step)
        inputs = torch.cat([sight.compressed, sight.logs, step.flags, self.beside.known(context, past)], dim=-1)
        new |= self.beside.kept(context)
        seen = self.memory.columns.seen
        started = step.seen.clamp(max=1.0)
        hidden, recurrent = recur(silu(linear(inputs, weights.embedding, weights.bias)), started)
        scored = (1.0 - missing) * row[:, seen].clamp(max=1.0)
        new |= self._judged(value, scored, step.sizes, past, new)
        if self.drift is not None:
            new["drift"] = self.drift.step(value - median, sight.scale, step.place, past["drift"])
        stretch = None if self.calibration is None else self.calibration.next_stretch(new["calibration"])
        errors, pull = self._rivals_judged(value, scored, sight.scale, past)
        unit = sight.scale * started
        issued = self.head.next(value, unit, hidden, inputs, sight.gaps, weights.next, stretch, pull)
        new |= self._issued(issued, errors)
        return {name: new[name] for name in self.blocks if name in new}, recurrent

    def _rivals_judged(
        self, value: Tensor, scored: Tensor, scale: Tensor, past: Past
    ) -> tuple[Tensor | None, Tensor | None]:
        """The rivals' errors (B, 2) after values (B, 1), and the pull (B, 1) of those; None without trust."""
        if self.trust is None:
            return None, None
        errors = self.trust.judged(value, scored, past["trust"])
        return errors, self.trust.pull(errors, scale)

    def _issued(self, issued: Tensor, errors: Tensor | None) -> State:
        """The blocks with what the head issued for the next step (B, Q), or (B, 2 + Q) where rivals have errors."""
        if errors is None:
            return {"issued": issued}
        medians, quantiles = issued.tensor_split([RIVALS], dim=1)
        return {"issued": quantiles, "trust": torch.cat([medians, errors], dim=1)}

    def _judged(self, value: Tensor, scored: Tensor, sizes: Tensor, past: Past, new: State) -> State:
        """Scores and calibration after values (B, 1); `sizes` (B, N) are those of the memory's errors."""
        blocks = [past[name] for name in ("issued", "fan") if name in past]
        if self.config.last_known:
            at = self.memory.columns.known.start
            blocks = [past["memory"][:, at : at + 1], *blocks]
        errors = value - torch.cat(blocks, dim=1)
        judged = {"scores": self.scores.step(errors[:, : self.scores.count], sizes, scored, past["scores"])}
        if self.calibration is not None and self.origin is not None:
            clock, errors = self.origin.clock(new["origin"]), errors[:, self.scores.count - self.calibration.count :]
            judged["calibration"] = self.calibration.step(errors, scored, clock, past["calibration"])
        return judged

    def forecast(self, state: State, covariates: Tensor | None = None) -> Tensor:
        """The fan: (B, H, Q) float64 from the state alone; its first step is what `step` issued.

        A row (B, W) of covariates in the place of the state's may know something else of the steps ahead.
        """
        fan = self.forecast_of(state, self.recurrence.top(state["recurrent"]), covariates)
        wide = self._widened(fan, state["memory"])
        same = (fan[:, :1] == state["issued"].unsqueeze(1)).all(dim=2, keepdim=True)
        return torch.cat([torch.where(same, fan[:, :1], wide[:, :1]), wide[:, 1:]], dim=1)

    def _widened(self, fan: Tensor, memory: Tensor) -> Tensor:
        """The fan (B, H, Q) with intervals of so long after the last known value; those that grow have no gradient."""
        columns = self.memory.columns
        if not self.config.last_known:
            return fan
        ago = memory[:, columns.seen.start] - memory[:, columns.known.stop - 1]
        rows = ago.nonzero()[:, 0]
        wide = widened(fan[rows].detach().numpy(), ago[rows].numpy(), self.config.season)
        return fan.index_copy(0, rows, torch.from_numpy(wide))

    def _reissued(self, state: State) -> State:
        """The state with what was issued, and is kept, of a fan that is wider than that of the step."""
        fan = self._widened(self.forecast_of(state, self.recurrence.top(state["recurrent"])), state["memory"])
        state = {**state, "issued": fan[:, 0]}
        if self.origin is not None and "fan" in state:
            later = fan[:, [anchor - 1 for anchor in self.origin.anchors]].flatten(1)
            state["fan"] = torch.where(self.origin.clock(state["origin"]) == 1.0, later, state["fan"])
        return state

    def forecast_of(self, past: Past, hidden: Tensor, covariates: Tensor | None = None) -> Tensor:
        """The fan, of the parts of a state that it needs."""
        row = past["memory"]
        stretch = None if self.calibration is None else self.calibration.fan_stretches(past["calibration"])
        weights = self.head.fan_weights(self.horizons)
        beside = self.beside.further(past, self.horizons, covariates)
        fan = self.fan(row, self.memory.logs(row), hidden, weights, stretch, self._pull(past), beside)
        started, issued = row[:, self.memory.columns.seen] > 0.0, past["issued"]
        later = fan[:, 1:] * started.unsqueeze(2)
        if covariates is not None:
            issued = torch.where(self.beside.same_next(covariates, past), issued, fan[:, 0] * started)
        return torch.cat([issued.unsqueeze(1), later], dim=1)

    def anchor_weights(self) -> FanWeights | None:
        """What `origin_of` computes with, of the parameters as they are; None where no fan is kept."""
        return self.head.fan_weights(self.config.anchors[1:]) if self.config.anchors[1:] else None

    def origin_of(self, past: Past, hidden: Tensor, weights: FanWeights | None) -> State:
        """The blocks of a new origin, each (B, W), of the parts of a state that it needs."""
        if self.origin is None:
            raise ValueError("this model keeps no origin")
        row = past["memory"]
        if self.calibration is None or weights is None:
            return {"origin": self.origin.renewed(row)}
        stretch = self.calibration.stretches(past["calibration"])[:, 1:]
        beside = self.beside.further(past, self.config.anchors[1:])
        fan = self.fan(row, self.memory.logs(row), hidden, weights, stretch, self._pull(past), beside)
        return {"origin": self.origin.renewed(row), "fan": fan.flatten(1)}

    def _pull(self, past: Past) -> Tensor | None:
        """(B, 1): the plain mixture's part in forecasts from this state; None where it has none."""
        if self.trust is None:
            return None
        return self.trust.pull_of(past["trust"], scale_of(past["memory"][:, self.memory.columns.scale]))

    def _renewed(self, state: State) -> State:
        """The state with a new origin where one is due."""
        if self.origin is None:
            return state
        due = self.origin.due(state["memory"][:, self.memory.columns.seen])
        if not due.any():
            return state
        past = {name: block[due] for name, block in state.items() if name != "recurrent"}
        renewed = self.origin_of(past, self.recurrence.top(state["recurrent"])[due], self.anchor_weights())
        blocks = {name: state[name].clone() for name in renewed}
        for name, block in blocks.items():
            block[due] = renewed[name]
        return {**state, **blocks}

    @property
    def horizons(self) -> range:
        """All steps ahead that are forecast."""
        return range(1, self.config.horizon + 1)

    def unroll_memory(
        self, values: Tensor, known: Tensor, context: Tensor, state: State, places: Tensor | None = None
    ) -> tuple[Window, Tensor]:
        """Fold a window of values (B, T) without gradient: none of it depends on weights.

        Args:
            values: stand-ins in place of missing ones; `known` (B, T) is 0 for those.
            context: (B, T, 5 + W) float32; of the covariates, what is known beyond the next step is not needed.
            state: before the window, of which memory, what an origin keeps of the experts, and what is static matter.
            places: (B, P) the steps after which the memory is asked for; None asks for all.
        Returns:
            The window as the network sees it, and the memory after it.
        """
        if places is None:
            places = torch.arange(values.shape[1]).expand(len(values), -1)
        with torch.no_grad():
            window, row = fold_window(self.memory, self.origin, values, known, state, places)
        inputs = torch.cat([window.inputs, self.beside.known(context, state)], dim=2)
        return Window(window.memory, inputs), row

    def fan(
        self,
        memory: Tensor,
        logs: Tensor,
        hidden: Tensor,
        weights: FanWeights,
        stretch: Tensor | None = None,
        pull: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """(..., n, Q) float64: fans from memories (..., M), of the horizons of the weights.

        Args:
            logs: (..., LOGS) and hidden: (..., hidden), as the network saw those memories and what it gave.
            stretch: (..., n, 2 side) of the calibration, if any.
            pull: (..., 1) of the plain mixture; without it they are the network's alone.
            beside: (..., n, C) covariates of the horizons, if the model takes any.
        """
        scale = scale_of(memory[..., self.memory.columns.scale])
        fan = self.head.fan(memory, hidden, logs, scale, weights, stretch, pull, beside)
        return fan if pull is None else fan[..., RIVALS:]

    def unroll(self, values: Tensor, context: Tensor, state: State) -> tuple[Tensor, State]:
        """Fold a window in one pass of `nn.LSTM` for each stretch that no missing value interrupts.

        A missing value is stood in for by the median that was issued for it, so the pass pauses there for that median.

        Args:
            values: (B, T) float64, NaN where missing.
            context: (B, T, 5 + W) float32, as in `step`.
        Returns:
            (B, T, H, Q) float64, the fan after each observation, and the state after the last one.
        """
        missing = torch.isnan(values)
        paused = missing.any(dim=0).nonzero().flatten().tolist()
        unstarted = missing.cumprod(dim=1).any(dim=0).nonzero().flatten() + 1
        edges = sorted({0, *paused, *unstarted.tolist(), values.shape[1]})
        fans, current = [], state
        for start, end in pairwise(edges):
            fan, current = self._stretch(values[:, start:end], context[:, start:end], current)
            fans.append(fan)
        return torch.cat(fans, dim=1), current

    def _stretch(self, values: Tensor, context: Tensor, state: State) -> tuple[Tensor, State]:
        """Unroll over values (B, T) of which only the first may be missing; where it starts no session, T is 1."""
        median, columns = self.scores.median, self.memory.columns
        missing = torch.isnan(values)
        values = torch.where(missing, state["issued"][:, median : median + 1].detach(), values)
        known = 1.0 - missing.double()
        window, memory = self.unroll_memory(values, known, context, state)
        hidden, recurrent = self.recurrence.unroll(window.inputs, state["recurrent"])
        started = window.memory[..., columns.seen] > 0.0
        # a session that a stretch does not start has no other step in it
        recurrent = torch.where(started[:, 0], recurrent, state["recurrent"])
        logs, weights = window.inputs[..., self.memory.inputs.logs], self.head.fan_weights(self.horizons)
        rows = torch.cat([state["memory"].unsqueeze(1), window.memory], dim=1)
        changes = rows[..., columns.ring.stop - 1].diff(dim=1).abs()
        scored = known * rows[:, :-1, columns.seen.start].clamp(max=1.0)
        scale = scale_of(window.memory[..., columns.scale])
        new, fans, alike = {**state}, [], None
        if self.calibration is None and self.trust is None and not self.beside.columns:
            alike = self.head.fan(window.memory, hidden, logs, scale, weights)
        for t in range(values.shape[1]):
            past, row, value, judged = new, window.memory[:, t], values[:, t : t + 1], scored[:, t : t + 1]
            moved, _ = turned(self.origin, past)
            new = {**past, **moved, **self.beside.kept(context[:, t]), "memory": row}
            new |= self._judged(value, judged, changes[:, t : t + 1].expand(-1, self.memory.inputs.kinds), past, new)
            stretches = None if self.calibration is None else self.calibration.fan_stretches(new["calibration"])
            errors, pull = self._rivals_judged(value, judged, scale[:, t], past)
            if alike is None:
                beside = self.beside.further(new, self.horizons)
                fan = self.head.fan(row, hidden[:, t], logs[:, t], scale[:, t], weights, stretches, pull, beside)
            else:
                fan = alike[:, t]
            fan = fan * started[:, t].unsqueeze(2)
            new |= self._issued(fan[:, 0].detach(), errors)
            fan = fan[..., -len(self.config.quantiles) :]
            fans.append(self._widened(fan, row))
            new["issued"] = fans[t][:, 0].detach()
            if self.origin is not None:
                later = [anchor - 1 for anchor in self.origin.anchors]
                renewed = {"origin": self.origin.renewed(row), "fan": fans[t][:, later].detach().flatten(1)}
                due = self.origin.due(row[:, columns.seen]).unsqueeze(1)
                new |= {name: torch.where(due, block, new[name]) for name, block in renewed.items() if name in new}
        fan = torch.stack(fans, dim=1)
        if self.drift is not None:
            medians = torch.cat([state["issued"].unsqueeze(1), fan[:, :-1, 0]], dim=1)[..., median].detach()
            places = self.memory.place(window.memory[..., columns.seen.start], 1.0 - known)
            new["drift"] = self.drift.unroll(values - medians, scale.squeeze(2), places, state["drift"])
        return fan, {**new, "memory": memory, "recurrent": recurrent}
