"""The network of the services that the project is compared with: two layers of 64 and a linear head for quantiles."""

from __future__ import annotations

import torch
from pydantic import BaseModel
from torch import Tensor, nn

LAYERS, HIDDEN = 2, 64
QUANTILES = ("0.025", "0.1", "0.5", "0.9", "0.975")

State = tuple[Tensor, Tensor]


class Forecast(BaseModel):
    value: float
    quantiles: dict[str, float]


class Network(nn.Module):
    """One series at a time: `nn.LSTM`, then a head for the step after the last."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, HIDDEN, LAYERS)
        self.head = nn.Linear(HIDDEN, len(QUANTILES))

    def forward(self, values: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(T,) values and the state before them -> (Q,) quantiles and the state after."""
        hidden, after = self.lstm(values.view(-1, 1), state)
        return self.head(hidden[-1]), after


def network() -> Network:
    """Random weights, one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Network().eval()


def forecast(quantiles: Tensor) -> Forecast:
    numbers = quantiles.tolist()
    return Forecast(value=numbers[len(numbers) // 2], quantiles=dict(zip(QUANTILES, numbers, strict=True)))
