"""The recurrent layer: an LSTM whose hidden and cell state are arguments and results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from models.fold import TORCH_DTYPES
from models.layout import Field

Recurrent = TypeVar("Recurrent")
Recur = Callable[[Tensor, Tensor], tuple[Tensor, Recurrent]]
"""One step: embedded inputs (B, hidden), started (B, 1) -> the top layer's output (B, hidden), the new state.

The state of what has not started stays zeros.
"""


class Recurrence(nn.Module):
    """Linear map of the inputs, SiLU, then an LSTM (Hochreiter and Schmidhuber 1997) of one or more layers.

    Its state is (2 layers, B, hidden): the hidden states of all layers, then their cell states.

    Args:
        mixing: (width, shown) what the network sees, each as a sum of columns of the row of inputs.
        dtype: of the state; in float16 each step rounds it.
    """

    mixing: Tensor

    def __init__(self, mixing: Tensor, hidden: int, layers: int, dtype: str) -> None:
        super().__init__()
        self.embed = nn.Linear(mixing.shape[1], hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers)
        self.fields = tuple(Field(name, dtype, (layers, hidden)) for name in ("lstm.h", "lstm.c"))
        self.dtype = TORCH_DTYPES[dtype]
        self.register_buffer("mixing", mixing, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (2 layers, B, hidden)."""
        return torch.zeros(2 * self.lstm.num_layers, batch, self.lstm.hidden_size, dtype=self.dtype)

    def embedding(self) -> Tensor:
        """(hidden, width): the embedding's weights for the row of inputs as it is."""
        return self.embed.weight.matmul(self.mixing.T)

    def sequence(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Fold rows of inputs (B, T, width) in one call of `nn.LSTM`; the top layer's hidden states (B, T, hidden).

        Nothing is rounded: this is what training needs, and what `unroll` is where the state is float32.
        """
        embedded = silu(linear(rows, self.embedding(), self.embed.bias)).transpose(0, 1)
        h, c = state.float().chunk(2)
        hidden, (h, c) = self.lstm(embedded, (h.contiguous(), c.contiguous()))
        return hidden.transpose(0, 1), torch.cat([h, c])

    def unroll(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As `sequence`, with the rounding of each step."""
        if self.dtype == torch.float32:
            return self.sequence(rows, state)
        tops = []
        for row in rows.split(1, dim=1):  # type: ignore[no-untyped-call]
            _, state = self.sequence(row, state)
            state = state.to(self.dtype)
            tops.append(self.top(state))
        return torch.stack(tops, dim=1), state

    def recur(self, embedded: Tensor, state: Tensor, started: Tensor) -> tuple[Tensor, Tensor]:
        """One step, as `Recur` says, from a state."""
        h, c = state.float().chunk(2)
        _, (h, c) = self.lstm(embedded.unsqueeze(0), (h.contiguous(), c.contiguous()))
        new = (torch.cat([h, c]) * started.float()).to(self.dtype)
        return self.top(new), new

    def top(self, state: Tensor) -> Tensor:
        """(B, hidden) float32: the top layer's hidden state."""
        return state[self.lstm.num_layers - 1].float()
