"""The loss of unrolled windows: the pinball loss of the fans at some positions of each.

The memory of the fold depends on no weights, so it is folded once for many windows; the network then runs over them in
batches of `Schedule.batch`, unrolled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.layers.scale import scale_of
from models.layers.window import Window
from models.mixture import Mixture
from models.training.covariates import contexts, further, static_rows
from models.training.recipe import Schedule
from models.training.windows import Windows, loss_positions

BATCHES_FOLDED = 8
"""Batches whose memory is folded together: more do not stay in the processor's cache, fewer cost more per window."""

FIRST_STEP_WEIGHT = 0.25
"""The part of the loss that is the next step's alone; the rest is spread over the horizon."""

ERROR_LIMIT = 30.0
"""Errors beyond so many scales count as this: one wild value must not drown a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B windows as the network sees them, with what its loss needs.

    Attributes:
        window: inputs of (B, T) steps, and memories at the positions.
        positions: (B, P) steps at which the fan is judged, in order.
        horizons: H of the steps ahead, from 1 on.
        targets: (B, P, H) float64, NaN where nothing is judged.
        beside: (B, P, H, C) float32, covariates of the steps that are judged; C is 0 where there are none.
    """

    window: Window
    positions: Tensor
    horizons: Sequence[int]
    targets: Tensor
    beside: Tensor


def batches(module: Mixture, windows: Windows, rng: np.random.Generator, schedule: Schedule) -> Iterator[Batch]:
    """Fold the memory of many windows at once, and give them out in batches of the schedule's size."""
    values, context = torch.from_numpy(windows.values), torch.from_numpy(contexts(module, windows))
    static = torch.from_numpy(static_rows(windows))
    known = (~torch.isnan(values)).double()
    values = stand_ins(module, values, context, static)
    length, size = windows.values.shape[1], schedule.batch
    places = np.sort(loss_positions(rng, windows.steps, max(length // schedule.positions, 1)), axis=1)
    horizons = judged_horizons(rng, module.config.horizon, schedule.horizons)
    rows = np.arange(len(windows))[:, None, None]
    targets = torch.from_numpy(windows.ahead[rows, places[:, :, None] + np.array(horizons)])
    positions, beside = torch.from_numpy(places), further(module, windows, places, horizons)
    for start in range(0, len(windows), BATCHES_FOLDED * size):
        fold = slice(start, start + BATCHES_FOLDED * size)
        initial = module.initial_state(len(positions[fold]), static[fold])
        folded, _ = module.unroll_memory(values[fold], known[fold], context[fold], initial, positions[fold])
        parts = (folded.memory, folded.inputs, positions[fold], targets[fold], beside[fold])
        for memory, inputs, *others in zip(*(torch.split(part, size) for part in parts), strict=True):
            position, target, covariates = others
            yield Batch(Window(memory, inputs), position, horizons, target, covariates)


def judged_horizons(rng: np.random.Generator, horizon: int, count: int) -> list[int]:
    """So many steps ahead in rising order, the first always, the others at random; all of them where `count` is 0."""
    if not 0 < count < horizon:
        return list(range(1, horizon + 1))
    return [1, *sorted((rng.choice(horizon - 1, count - 1, replace=False) + 2).tolist())]


def stand_ins(module: Mixture, values: Tensor, context: Tensor, static: Tensor | None = None) -> Tensor:
    """Values (N, T) with each missing one replaced by the median that the module, as it is now, issues for it.

    Of the contexts (N, T, ...) the first columns suffice, as `unroll_memory` needs them.

    The windows with gaps are folded step by step, as serving does; gradients never pass through a stand-in.
    """
    gappy = torch.isnan(values).any(dim=1).nonzero().flatten()
    if not len(gappy):
        return values
    filled, median = values[gappy], module.scores.median
    state = module.initial_state(len(gappy), None if static is None else static[gappy])
    with torch.no_grad():
        for t in range(values.shape[1]):
            value = torch.where(torch.isnan(filled[:, t]), state["issued"][:, median], filled[:, t])
            _, state = module.step((filled[:, t], module.beside.whole(context[gappy, t])), state)
            filled[:, t] = value
    values = values.clone()
    values[gappy] = filled
    return values


def unrolled_losses(module: Mixture, batch: Batch, unroll: int) -> Iterator[Tensor]:
    """The loss of each successive unroll of a batch.

    The first starts from the zero state, each further one from where the one before it ended: as a value, without its
    gradient, after the caller has taken its step.
    """
    inputs, memory = batch.window.inputs, batch.window.memory
    state = module.recurrence.initial_state(len(batch.positions))
    for start in range(0, inputs.shape[1], unroll):
        hidden, state = module.recurrence.sequence(inputs[:, start : start + unroll], state)
        inside = (batch.positions >= start) & (batch.positions < start + unroll)
        window, place = inside.nonzero(as_tuple=True)
        step = batch.positions[window, place]
        logs = inputs[window, step][:, module.memory.inputs.logs]
        weights = module.head.fan_weights(batch.horizons)
        beside = batch.beside[window, place]
        fan = module.fan(memory[window, place], logs, hidden[window, step - start], weights, beside=beside)
        yield pinball_loss(module, memory[window, place], fan, batch.targets[window, place])
        state = state.detach()


def pinball_loss(module: Mixture, memory: Tensor, fan: Tensor, targets: Tensor) -> Tensor:
    """Mean pinball loss in units of each session's scale, with extra weight on the next step.

    Args:
        memory: (N, M) rows; fan: (N, H, Q) quantiles, the next step's first; targets: (N, H), NaN where nothing is
            judged.
    """
    judged = ~torch.isnan(targets)
    horizon = fan.shape[1]
    weight = torch.full((horizon,), (1.0 - FIRST_STEP_WEIGHT) / horizon)
    weight[0] += FIRST_STEP_WEIGHT
    weights = judged * weight
    error = torch.where(judged, targets, fan[..., module.scores.median].detach()).unsqueeze(-1) - fan
    scale = scale_of(memory[:, module.memory.columns.scale]).unsqueeze(-1)
    ratio = (error / scale).clamp(-ERROR_LIMIT, ERROR_LIMIT).float()
    levels = module.scores.levels.float()
    loss = torch.maximum(levels * ratio, (levels - 1.0) * ratio).mean(dim=-1)
    return (loss * weights).sum() / weights.sum().clamp(min=1e-9)
