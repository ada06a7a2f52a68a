"""The architecture of a model: what `model.json` and recipes say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from models.covariates import Covariates
from models.layers.columns import MemoryConfig

NO_COVARIATES = Covariates()
QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)

STATE_DTYPES = {"float32": "<f4", "float16": "<f2"}
"""Of hidden and cell states, as a configuration and as a state's layout name them."""


@dataclass(frozen=True, slots=True)
class MixtureConfig:
    """The architecture; with the weights it decides every bit of a forecast.

    Attributes:
        season: steps of a season; longer: of a second, longer one, 0 where there is none.
        kept: seasons whose values are kept; shown: phases to come that the network is shown, 0 for the whole season.
        trends: whether some experts follow trends.
        far: whether the experts' errors over the whole horizon are kept beside the one-step ones.
        anchors: steps ahead at which intervals are calibrated, from 1 on; none are where there is none.
        oldest: steps after which the network takes a session for no older, as it was trained on none; 0 = no limit.
        drift: whether a session notices that its errors are no longer what they were.
        trust: whether sessions learn how much of a forecast is the network's and how much the plain mixture's.
        last_known: whether intervals grow while values are missing, and errors are compared with the last known value.
        state: the type of hidden and cell states: in float16 they are rounded at each step, and take half the bytes.
        covariates: that the model takes beside a series' values.
    """

    season: int = 7
    horizon: int = 14
    quantiles: tuple[float, ...] = QUANTILES
    hidden: int = 64
    layers: int = 1
    state: str = "float32"
    longer: int = 0
    kept: int = 4
    shown: int = 0
    trends: bool = False
    far: bool = False
    anchors: tuple[int, ...] = ()
    oldest: int = 0
    drift: bool = False
    trust: bool = False
    last_known: bool = False
    covariates: Covariates = NO_COVARIATES

    def __post_init__(self) -> None:
        if self.state not in STATE_DTYPES:
            raise ValueError(f"a state is {' or '.join(STATE_DTYPES)}, not {self.state!r}")
        if self.anchors and not self.far:
            raise ValueError("anchors need errors further ahead: far = true")

    @classmethod
    def of(cls, architecture: Mapping[str, Any]) -> MixtureConfig:
        """From plain values, as `model.json` and recipes have them; TypeError where there is no such field."""
        known = {field.name for field in fields(cls)}
        if unknown := set(architecture) - known:
            raise TypeError(f"an architecture has no field {', '.join(sorted(unknown))}")
        given = architecture.items()
        plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given}
        if "covariates" in plain:
            plain["covariates"] = Covariates.of(plain["covariates"])
        return cls(**plain)

    @property
    def warm_up(self) -> int:
        """Steps after which a session counts as warmed up: its ring of seasons is full."""
        return self.kept * self.season

    @property
    def memory(self) -> MemoryConfig:
        """What the session remembers outside of the network."""
        reach, shown = self.horizon if self.far else 0, self.shown or self.season
        beside = 2 * (len(self.covariates.names) + len(self.covariates.known))
        return MemoryConfig(
            season=self.season,
            longer=self.longer,
            kept=self.kept,
            shown=shown,
            trends=self.trends,
            reach=reach,
            beside=beside,
            oldest=self.oldest,
            last_known=self.last_known,
        )
