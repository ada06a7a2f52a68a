"""The last origin: what was forecast for several steps ahead is kept until the actuals come, and then judged.

There is a new origin at the first step of a session and then every `horizon` steps, and it is all that is kept of the
forecasts made between: of each expert its level and its slope, damped on at every step, and, in a block of their own
that no step changes, the quantiles of the anchors beyond the next step. So the experts' mean error further ahead is one
over all steps ahead from 1 to `horizon`, and each anchor learns once in that many steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.layers.columns import Columns
from models.layers.experts import DAMPING, experts, slopes
from models.layers.inputs import CHANGES
from models.layout import Field


class Origin(nn.Module):
    """Levels (K,) and slopes of the experts, and a clock, in one row; kept quantiles (A, Q) in another: float64.

    Args:
        anchors: A steps ahead beyond the first, in rising order.
        quantiles: how many.
        every: steps from one origin to the next.
        before: numbers that the memory expects of a value before the experts' forecasts.
    """

    levels: Tensor
    begun: Tensor
    turn: Tensor

    def __init__(
        self, columns: Columns, anchors: Sequence[int], *, quantiles: int, every: int, before: int
    ) -> None:
        super().__init__()
        found = experts(columns)
        self.count, self.anchors, self.every = len(found), tuple(anchors), every
        trends = [k for k, expert in enumerate(found) if expert.trend is not None]
        levels = [expert.level for expert in found]
        if trends:
            levels += list(slopes(columns) * torch.tensor(DAMPING, dtype=torch.float64).unsqueeze(1))
        self.fields = (Field("origin.expert", "<f8", (len(levels),)), Field("origin.clock", "<f8", (1,)))
        self.fan = Field("origin.fan", "<f8", (len(anchors), quantiles))
        self.width = len(levels) + 1
        turn = torch.eye(self.width, dtype=torch.float64)
        turn[-1, -1] = 0.5
        for slope, expert in enumerate(trends, start=self.count):
            turn[slope, expert] = 1.0
            turn[slope, slope] = DAMPING[slope - self.count]
        # levels are also what the experts forecast of the step, phases aside: what is expected further ahead
        expected = torch.zeros(self.width, before + 2 * self.count + CHANGES, dtype=torch.float64)
        expected[: self.count, before + self.count : before + 2 * self.count] = torch.eye(self.count)
        turn = torch.cat([turn, turn.matmul(expected)], dim=1)
        nothing, clock = torch.zeros_like(levels[0]), torch.zeros(self.width, dtype=torch.float64)
        clock[-1] = 1.0
        self.register_buffer("levels", torch.stack([*levels, nothing], dim=1), persistent=False)
        self.register_buffer("begun", clock, persistent=False)
        self.register_buffer("turn", turn, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, width)."""
        return torch.zeros(batch, self.width, dtype=torch.float64)

    def step(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step on: the new state, and what it adds to what the memory expects of that step (B, N)."""
        new, expected = state.matmul(self.turn).tensor_split([self.width], dim=1)
        return new, expected

    def clock(self, state: Tensor) -> Tensor:
        """(B, 1): one half to the power of the steps since the origin; 0 where there is none yet."""
        return state[:, self.width - 1 :]

    def due(self, seen: Tensor) -> Tensor:
        """(B,): whether there is a new origin after so many steps (B, 1)."""
        return ((seen > 0.0) & ((seen - 1.0) % self.every == 0.0)).squeeze(1)

    def renewed(self, row: Tensor) -> Tensor:
        """The state (B, width) of an origin at memories (B, M)."""
        return torch.addmm(self.begun, row, self.levels)


def turned(origin: Origin | None, past: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
    """The block of the origin one step on, and what it adds to what the memory expects; nothing without one."""
    if origin is None:
        return {}, None
    new, expected = origin.step(past["origin"])
    return {"origin": new}, expected
