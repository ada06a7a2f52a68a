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


def row_asinh(ratios: Tensor) -> Tensor:
    """Inverse hyperbolic sines (..., N) float32, sign(x) ln(|x| + sqrt(x^2 + 1)), N a multiple of four.

    In float64 until the logarithm: the square of a float32 may be infinite. The runtime's own takes four times as long.
    """
    size = ratios.abs()
    return row_log(size + torch.sqrt(ratios * ratios + 1.0)) * torch.sign(ratios).float()
