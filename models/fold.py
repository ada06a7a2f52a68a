"""The one abstraction: a fold, whose state after n observations is ``step(state[n-1], observation[n])``.

Everything that remembers is a layer of the fold with its state outside of itself: given, returned, never kept.
So one module serves every session, and a series may be cut anywhere: the parts, folded one after the other, are the
whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.layout import Field

State = dict[str, Tensor]
TORCH_DTYPES = {"<f8": torch.float64, "<f4": torch.float32}


class Layer(nn.Module, ABC):
    """A part of the fold: names the arrays that it remembers and folds one observation into them.

    A state is a mapping from names to tensors of shape (B, *field.shape). `step` returns the arrays of its own
    `fields`, and leaves the given tensors as they were.
    """

    fields: tuple[Field, ...] = ()

    def initial_state(self, batch: int) -> State:
        """The state of `batch` sessions that have seen nothing: zeros."""
        return {f.name: torch.zeros(batch, *f.shape, dtype=TORCH_DTYPES[f.dtype]) for f in self.fields}

    @abstractmethod
    def step(self, x: Any, state: Mapping[str, Tensor]) -> tuple[Any, State]:  # noqa: ANN401 - each layer has its own
        """Fold one observation of each session; the output and the new state."""

    def unroll(self, xs: Iterable[Any], state: Mapping[str, Tensor]) -> tuple[list[Any], State]:
        """Fold observation after observation: the outputs of every step, and the last state."""
        outputs = []
        current = dict(state)
        for x in xs:
            output, current = self.step(x, current)
            outputs.append(output)
        return outputs, current
