"""The one abstraction: a fold, whose state after n observations is ``step(state[n-1], observation[n])``.

Everything that remembers is a part of the fold with its state outside of itself: given, returned, never kept.
So one module serves every session, and a series may be cut anywhere: the parts, folded one after the other, are the
whole.

The state of B sessions is a few blocks, each one tensor: what a part of the fold moves together stands side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor

TORCH_DTYPES = {"<f8": torch.float64, "<f4": torch.float32, "<f2": torch.float16}

State = dict[str, Tensor]
"""By block: (B, width), or (rows, B, width) for the recurrence's, which a step takes and gives row by row."""
