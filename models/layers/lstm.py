"""The recurrent layer: an LSTM whose hidden and cell state are arguments and results."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import silu

from models.fold import Layer, State
from models.layout import Field


class Recurrence(Layer):
    """Linear map of the inputs, SiLU, then an LSTM (Hochreiter and Schmidhuber 1997) of one or more layers."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers)
        self.fields = (Field("lstm.h", "<f4", (layers, hidden)), Field("lstm.c", "<f4", (layers, hidden)))

    def step(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold inputs (B, F) float32; the top layer's hidden state (B, hidden)."""
        _, new = self._recur(silu(self.embed(x)).unsqueeze(0), state)
        return new["lstm.h"][:, -1], new

    def sequence(self, xs: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold inputs (B, T, F) in one call of `nn.LSTM`; the top layer's hidden states (B, T, hidden)."""
        hidden, new = self._recur(silu(self.embed(xs)).transpose(0, 1), state)
        return hidden.transpose(0, 1), new

    def _recur(self, xs: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold embedded inputs (T, B, hidden); the top layer's hidden states, likewise."""
        h, c = (state[name].transpose(0, 1).contiguous() for name in ("lstm.h", "lstm.c"))
        hidden, (h, c) = self.lstm(xs, (h, c))
        return hidden, {"lstm.h": h.transpose(0, 1), "lstm.c": c.transpose(0, 1)}
