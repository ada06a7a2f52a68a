"""A fold of many steps without the network: what it hands to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.memory import Memory
from models.layers.origin import Origin, turned


@dataclass(frozen=True, slots=True)
class Window:
    """A folded window as the network and its head see it.

    Args:
        memory: (B, P, M) float64, the memory's row after each of the steps that were asked for.
        inputs: (B, T, width) float32, the row of inputs of every step.
    """

    memory: Tensor
    inputs: Tensor


def fold_window(
    memory: Memory, origin: Origin | None, values: Tensor, known: Tensor, past: dict[str, Tensor], places: Tensor
) -> tuple[Window, Tensor]:
    """The window of values (B, T), its inputs without covariates, and the memory after it.

    Args:
        values: stand-ins in place of missing ones; `known` (B, T) is 0 for those.
        past: the blocks before the window, of which the memory and what an origin keeps of the experts matter.
        places: (B, P) the steps after which the memory is asked for.
    """
    row = past["memory"]
    rows = row.new_empty(*places.shape, row.shape[1])
    counts = torch.bincount(places.flatten(), minlength=values.shape[1]).tolist()
    asked = torch.split(places.flatten().argsort(stable=True), counts)
    inputs = []
    for value, flag, where in zip(values.unbind(1), known.unbind(1), asked, strict=True):
        past, expected = turned(origin, past)
        step = memory.step(value.unsqueeze(1), 1.0 - flag.unsqueeze(1), row, expected)
        sight, row = memory.look(step), step.row
        inputs.append(torch.cat([sight.compressed, sight.logs, step.flags], dim=1))
        rows.flatten(0, 1)[where] = row[where // places.shape[1]]
        if origin is not None:
            due = origin.due(row[:, memory.columns.seen]).unsqueeze(1)
            past = {"origin": torch.where(due, origin.renewed(row), past["origin"])}
    return Window(rows, torch.stack(inputs, dim=1)), row
