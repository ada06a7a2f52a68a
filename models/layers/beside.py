"""Covariates inside of the fold: what a session keeps of them, and what network and head see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.covariates import LIMIT, Covariates, Encoding
from models.layout import Field


class Beside(nn.Module):
    """What stands beside the values of a series.

    A session keeps its static covariates, float64 (values, then flags), and the row of the last observation, float32
    (see `Encoding`), which the fan needs.

    Attributes:
        columns: that the network sees of a step: of the observation, of the next step, and of the session.
    """

    centres: Tensor
    widths: Tensor

    def __init__(self, covariates: Covariates, horizon: int) -> None:
        super().__init__()
        self.encoding = Encoding(covariates, horizon)
        self.count = len(covariates.static)
        self.now, self.ahead = self.encoding.now, self.encoding.ahead
        self.columns = self.now + self.ahead + 2 * self.count
        self.static_fields = (Field("static", "<f8", (2 * self.count,)),) if self.count else ()
        self.row_fields = (Field("covariates", "<f4", (self.encoding.width,)),) if self.encoding.width else ()
        first = len(covariates.observed)
        for name in ("centres", "widths"):
            values = torch.tensor(getattr(covariates, name)[first:], dtype=torch.float64)
            self.register_buffer(name, values, persistent=False)

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        """By block, zeros: of the session nothing is known."""
        state = {}
        if self.static_fields:
            state["static"] = torch.zeros(batch, 2 * self.count, dtype=torch.float64)
        if self.row_fields:
            state["covariates"] = torch.zeros(batch, self.encoding.width)
        return state

    def of_session(self, static: Tensor) -> Tensor:
        """(B, 2 S) float32 as the network sees it, of the block `static`."""
        values, known = static.tensor_split(2, dim=-1)
        ratios = ((values - self.centres) / self.widths).clamp(-LIMIT, LIMIT) * known
        return torch.cat([ratios, known], dim=-1).float()

    def seen(self, row: Tensor, static: Tensor | None) -> Tensor:
        """(..., columns): of rows (..., at least now + ahead) what the network sees.

        Args:
            static: (..., 2 S) as `of_session` gives it; None where there are none.
        """
        first = row[..., : self.now + self.ahead]
        return first if static is None else torch.cat([first, static], dim=-1)

    def further(self, row: Tensor | None, static: Tensor | None, horizons: Sequence[int]) -> Tensor:
        """(..., n, columns): the same for each of the steps ahead, with what is known of that step in the next one's
        place.

        Args:
            row: (..., width); None where all are static.
        """
        whole = static if row is None else row
        if whole is None:
            raise ValueError("there are no covariates")
        lead, count, parts = whole.shape[:-1], len(horizons), []
        if row is not None and self.now:
            parts.append(row[..., : self.now].unsqueeze(-2).expand(*lead, count, -1))
        if row is not None and self.ahead:
            future = row[..., self.now :].reshape(*lead, self.encoding.horizon, self.ahead)
            parts.append(future[..., torch.tensor(horizons) - 1, :])
        if static is not None:
            parts.append(static.unsqueeze(-2).expand(*lead, count, -1))
        return torch.cat(parts, dim=-1)

    def same_next(self, row: Tensor, other: Tensor) -> Tensor:
        """(B, 1) whether two rows know the same of the next step."""
        part = slice(self.now, self.now + self.ahead)
        apart = (row[:, part] - other[:, part]).abs()
        return apart.sum(dim=1, keepdim=True) == 0.0
