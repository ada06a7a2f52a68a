"""The recurrent layer: an LSTM whose hidden and cell state are arguments and results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

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
    """

    mixing: Tensor

    def __init__(self, mixing: Tensor, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(mixing.shape[1], hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers)
        self.fields = (Field("lstm.h", "<f4", (layers, hidden)), Field("lstm.c", "<f4", (layers, hidden)))
        self.register_buffer("mixing", mixing, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (2 layers, B, hidden)."""
        return torch.zeros(2 * self.lstm.num_layers, batch, self.lstm.hidden_size)

    def embedding(self) -> Tensor:
        """(hidden, width): the embedding's weights for the row of inputs as it is."""
        return self.embed.weight.matmul(self.mixing.T)

    def sequence(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Fold rows of inputs (B, T, width) in one call of `nn.LSTM`; the top layer's hidden states (B, T, hidden)."""
        embedded = silu(linear(rows, self.embedding(), self.embed.bias)).transpose(0, 1)
        h, c = state.chunk(2)
        hidden, (h, c) = self.lstm(embedded, (h.contiguous(), c.contiguous()))
        return hidden.transpose(0, 1), torch.cat([h, c])

    def recur(self, embedded: Tensor, state: Tensor, started: Tensor) -> tuple[Tensor, Tensor]:
        """One step, as `Recur` says, from a state."""
        h, c = state.chunk(2)
        _, (h, c) = self.lstm(embedded.unsqueeze(0), (h.contiguous(), c.contiguous()))
        new = torch.cat([h, c]) * started.float()
        return self.top(new), new

    def top(self, state: Tensor) -> Tensor:
        """(B, hidden): the top layer's hidden state."""
        top: Tensor = state[self.lstm.num_layers - 1]
        return top
