"""Logarithms whose bits do not depend on the batch size.

The serving runtime takes logarithms four at a time and the last few of a tensor one by one, with other bits. In rows of
whole fours none is ever among the last few.
"""

from __future__ import annotations

import torch
from torch import Tensor

FOUR = 4


def row_log(ratios: Tensor) -> Tensor:
    """Logarithms (..., N) float32 of positive ratios, N a multiple of four."""
    if ratios.shape[-1] % FOUR:
        raise ValueError(f"{ratios.shape[-1]} columns are no whole fours")
    return torch.log(ratios.float())


def row_asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sines (..., N) float32, N a multiple of four; the runtime's own take four times as long."""
    return row_log(asinh_argument(x)) * sign(x)


def asinh_argument(x: Tensor) -> Tensor:
    """What the logarithm turns into asinh |x|: |x| + sqrt(x^2 + 1); float64, since float32 may not hold a square."""
    return x.abs() + torch.sqrt(x * x + 1.0)


def sign(x: Tensor) -> Tensor:
    """The sign (float32) that asinh x has beside asinh |x|."""
    return torch.sign(x).float()
