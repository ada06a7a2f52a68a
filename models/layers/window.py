"""What a fold of many steps hands to the network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A folded window as the network and its head see it.

    Args:
        memory: (B, P, M) float64, the memory's row after each of the steps that were asked for.
        inputs: (B, T, width) float32, the row of inputs of every step.
    """

    memory: Tensor
    inputs: Tensor
