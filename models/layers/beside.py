"""Covariates inside of the fold: what a session keeps of them, and what network and head see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.covariates import LIMIT, Covariates, Encoding
from models.dates.calendar import CALENDAR
from models.layout import Field

STATIC, ROW = "static", "covariates"
"""Blocks of the state."""


class Beside(nn.Module):
    """What stands beside the values of a series: a context, which is calendar features and the row of covariates.

    A session keeps its static covariates, float64 (values, then flags), and the row of the last observation, float32
    (see `Encoding`), which the fan needs; neither where a model takes none of the kind.

    Attributes:
        columns: that the network sees of a step: of the observation, of the next step, and of the session.
        blocks: of the state, with their fields.
    """

    centres: Tensor
    widths: Tensor

    def __init__(self, covariates: Covariates, horizon: int) -> None:
        super().__init__()
        self.encoding = Encoding(covariates, horizon)
        self.now, self.ahead, self.count = self.encoding.now, self.encoding.ahead, self.encoding.static
        self.columns = self.now + self.ahead + 2 * self.count
        self.blocks: dict[str, tuple[Field, ...]] = {}
        if self.count:
            self.blocks[STATIC] = (Field(STATIC, "<f8", (2 * self.count,)),)
        if self.encoding.width:
            self.blocks[ROW] = (Field(ROW, "<f4", (self.encoding.width,)),)
        first = len(covariates.observed)
        for name in ("centres", "widths"):
            values = torch.tensor(getattr(covariates, name)[first:], dtype=torch.float64)
            self.register_buffer(name, values, persistent=False)

    def initial_state(self, batch: int, static: Tensor | None = None) -> dict[str, Tensor]:
        """By block: nothing is known of any observation; `static` (B, 2 S) of the session, None = nothing either."""
        state = {}
        if STATIC in self.blocks:
            none = torch.zeros(batch, 2 * self.count, dtype=torch.float64)
            state[STATIC] = none if static is None else static
        if ROW in self.blocks:
            state[ROW] = torch.zeros(batch, self.encoding.width)
        return state

    def kept(self, context: Tensor) -> dict[str, Tensor]:
        """The block that a step changes, after one in contexts (B, 5 + W); what is static does not change."""
        return {ROW: context[:, CALENDAR:]} if ROW in self.blocks else {}

    def whole(self, context: Tensor) -> Tensor:
        """Contexts (..., 5 + W) of those that lack what is known beyond the next step: it is not."""
        lacking = CALENDAR + self.encoding.width - context.shape[-1]
        return torch.cat([context, context.new_zeros(*context.shape[:-1], lacking)], dim=-1)

    def of_session(self, static: Tensor) -> Tensor:
        """(B, 2 S) float32 as the network sees it, of the block `static`."""
        values, known = static.tensor_split(2, dim=-1)
        ratios = ((values - self.centres) / self.widths).clamp(-LIMIT, LIMIT) * known
        return torch.cat([ratios, known], dim=-1).float()

    def known(self, context: Tensor, past: Mapping[str, Tensor]) -> Tensor:
        """What the network sees of contexts (B, ..., at least 5 + now + ahead), from these states."""
        if not self.columns:
            return context
        parts = [context[..., : CALENDAR + self.now + self.ahead]]
        if STATIC in self.blocks:
            static = self.of_session(past[STATIC])
            if context.dim() > static.dim():
                static = static.unsqueeze(1).expand(-1, context.shape[1], -1)
            parts.append(static)
        return torch.cat(parts, dim=-1)

    def further(
        self, past: Mapping[str, Tensor], horizons: Sequence[int], row: Tensor | None = None
    ) -> Tensor | None:
        """(B, n, columns): the same for each of the steps ahead, with what is known of that step in the next one's
        place; None where there are no covariates.

        Args:
            row: (B, W) in the place of the one that the states keep.
        """
        if not self.columns:
            return None
        parts = []
        if ROW in self.blocks:
            row = past[ROW] if row is None else row
            parts.append(row[:, : self.now].unsqueeze(1).expand(-1, len(horizons), -1))
            if self.ahead:
                future = row[:, self.now :].reshape(-1, self.encoding.horizon, self.ahead)
                parts.append(future[:, torch.tensor(horizons) - 1])
        if STATIC in self.blocks:
            parts.append(self.of_session(past[STATIC]).unsqueeze(1).expand(-1, len(horizons), -1))
        return torch.cat(parts, dim=-1)

    def same_next(self, row: Tensor, past: Mapping[str, Tensor]) -> Tensor:
        """(B, 1) whether rows know the same of the next step as those that the states keep."""
        part = slice(self.now, self.now + self.ahead)
        apart = (row[:, part] - past[ROW][:, part]).abs()
        return apart.sum(dim=1, keepdim=True) == 0.0
