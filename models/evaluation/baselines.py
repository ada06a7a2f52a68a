"""What a model must beat: repeating the last value, repeating the last season, and the mixture without a network."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.artifacts.runtime import alarmed
from models.data import Series
from models.evaluation.scoring import Issued, last_known
from models.mixture import Mixture, MixtureConfig

NAIVE, SEASONAL_NAIVE, NO_NETWORK = "naive", "seasonal naive", "mixture without a network"
UNCALIBRATED = "without calibration"


def naive(series: Sequence[Series], horizon: int) -> list[Issued]:
    """Repeat the last known value."""
    return [seasonal_naive_of(one, horizon, season=1) for one in series]


def seasonal_naive(series: Sequence[Series], horizon: int, season: int) -> list[Issued]:
    """Repeat the value of one season before; the last value where there is none yet."""
    return [seasonal_naive_of(one, horizon, season=season) for one in series]


def seasonal_naive_of(series: Series, horizon: int, *, season: int) -> Issued:
    known = last_known(series.values)
    first = series.train_steps
    lag = min(season, first)
    stream = known[first - lag : len(known) - lag]
    fan = np.resize(known[first - lag : first], horizon)
    return Issued(stream[:, None], fan[:, None])


class Unserved:
    """A module that is in no artifact; steps like a served model."""

    def __init__(self, module: Mixture) -> None:
        self.module = module.eval()
        self.raises_alarms = module.drift is not None

    @classmethod
    def without_network(cls, config: MixtureConfig) -> "Unserved":
        """The untrained mixture: experts weighed by their discounted errors alone."""
        return cls(Mixture(config))

    @classmethod
    def without_calibration(cls, module: Mixture) -> "Unserved":
        """The same weights, whose intervals no session corrects."""
        plain = Mixture(replace(module.config, anchors=()))
        plain.load_state_dict(module.state_dict())
        return cls(plain)

    def initial_state(self, batch: int, static: NDArray[np.float64] | None = None) -> dict[str, Tensor]:
        return self.module.initial_state(batch, None if static is None else torch.from_numpy(static))

    def step(
        self, states: dict[str, Tensor], values: NDArray[np.float64], calendar: NDArray[np.float32]
    ) -> tuple[dict[str, Tensor], NDArray[np.float64]]:
        """Fold one observation of each session: the new states, and the next step's quantiles (B, Q)."""
        with torch.no_grad():
            issued, after = self.module.step((torch.from_numpy(values), torch.from_numpy(calendar)), states)
        return after, issued.numpy()

    def alarmed(self, states: dict[str, Tensor]) -> NDArray[np.int64]:
        """As `Model.alarmed`."""
        if not self.raises_alarms:
            return np.zeros(len(states["memory"]), np.int64)
        return alarmed(states["drift"][:, -2:].numpy())

    def forecast(self, states: dict[str, Tensor]) -> NDArray[np.float64]:
        """The fan (B, H, Q)."""
        with torch.no_grad():
            fan: NDArray[np.float64] = self.module.forecast(states).numpy()
        return fan
