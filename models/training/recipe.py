"""What a model is trained on and how, as a file: architecture, hyperparameters, sources with weights and licences."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from models.covariates import Covariates
from models.data import DataError, Series, read
from models.dates.frequencies import frequency, is_among
from models.mixture import MixtureConfig
from models.times import UTC

SHIPPED = Path(__file__).parent / "recipes"
A_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Source:
    """One collection of series to draw windows from; see `recipes/daily.toml` for the fields.

    `test_steps` are the last ones of each series, which are kept from training where the file marks no test part;
    `ending_weight` is the weight in the ending, where that is another.
    """

    file: str
    weight: float = 1.0
    ending_weight: float | None = None
    prefixes: tuple[str, ...] = ()
    shortest: int = 2
    longest: int = 1_000_000_000
    licence: str = ""
    attribution: str = ""
    test_steps: int = 0
    timezone: str = UTC

    def weight_in(self, *, ending: bool) -> float:
        """Its weight in the ending, or before."""
        return self.weight if self.ending_weight is None or not ending else self.ending_weight

    @property
    def name(self) -> str:
        return Path(self.file).name.split(".")[0]

    def read(self, folder: Path, freq: str, covariates: Covariates | None = None) -> list[Series]:
        """The train split of the series that this source names; DataError if there are none."""
        beside = covariates if covariates and covariates.names else None
        series = read(
            folder / self.file,
            freq=freq,
            timezone=self.timezone,
            prefixes=self.prefixes,
            test_steps=self.test_steps,
            covariates=beside,
        )
        kept = [one for one in series if self.shortest <= len(one) <= self.longest]
        if not kept:
            why = f"{folder / self.file}: no series of {self.shortest} to {self.longest} training steps"
            raise DataError(why, "give longer or shorter series, or another source in the recipe")
        return kept


@dataclass(frozen=True, slots=True)
class Ending:
    """The last part of a training, at a constant learning rate: what is learned is the mean of its weights there.

    Stochastic weight averaging, as in Izmailov et al. (2018), "Averaging weights leads to wider optima and better
    generalization".

    Attributes:
        share: of the training's length, between 0 and 1.
        rate: the part of the peak learning rate that it has.
        synthetic, walks: shares of its windows.
    """

    share: float
    rate: float
    synthetic: float
    walks: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"an ending is a share between 0 and 1 of the training, not {self.share}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The hyperparameters of training; shares are of the windows drawn.

    Attributes:
        positions: one in so many steps of a window is judged: the fans of neighbouring steps teach almost the same.
        horizons: how many of the steps ahead a batch is judged on, the first and others at random; 0 = all of them.
    """

    unroll: int = 160
    chunks: int = 1
    batch: int = 64
    positions: int = 4
    horizons: int = 0
    learning_rate: float = 2e-3
    synthetic: float = 0.5
    walks: float = 0.03
    augmented: float = 0.1
    flipped: float = 0.1
    gappy: float = 0.1
    dated: float = 0.5
    ending: Ending | None = None

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "Schedule":
        """From a recipe's table; TypeError for a field that there is not, ValueError for a value that none can have."""
        ending = table.get("ending")
        return cls(**{**table, "ending": None if ending is None else Ending(**ending)})

    @property
    def window(self) -> int:
        """Steps of a window: `chunks` successive unrolls, the state carried from each to the next."""
        return self.unroll * self.chunks


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training but its seed, its length and the rows in the files.

    `scored` names the files whose test parts the model card reports; `own`: the series are few, and all that the model
    is for, so the ends of all of them validate it.
    """

    name: str
    freqs: tuple[str, ...]
    model: MixtureConfig
    schedule: Schedule
    sources: tuple[Source, ...]
    scored: tuple[str, ...] = ()
    own: bool = False

    def without_ending(self) -> "Recipe":
        """The same, for a training of which nobody foresees when it is over."""
        return replace(self, schedule=replace(self.schedule, ending=None))

    @property
    def test_steps(self) -> int:
        """The last ones of each series that are its test part where a file marks none."""
        return max((source.test_steps for source in self.sources), default=0)

    @property
    def timezone(self) -> str:
        """In which the days of what is scored begin."""
        return next((source.timezone for source in self.sources), UTC)


def load(name: str | Path) -> Recipe:
    """The recipe of a TOML file, or the one that ships under this name.

    Raises:
        DataError: no such recipe, or a field that no recipe has.
    """
    path = Path(name) if str(name).endswith(".toml") else SHIPPED / f"{name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.toml")))
        raise DataError(f"{name}: no such recipe", f"give a .toml file or one of: {shipped}")
    try:
        table = tomllib.loads(path.read_text())
        return Recipe(
            name=path.stem,
            freqs=tuple(table["freqs"]),
            model=MixtureConfig.of(table.get("model", {})),
            schedule=Schedule.of(table.get("training", {})),
            sources=tuple(_source(entry) for entry in table.get("source", ())),
            scored=tuple(table.get("scored", ())),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a recipe ({error})", f"see {SHIPPED / 'daily.toml'} for one") from error


def shipped_for(freq: str) -> str | None:
    """The shipped recipe for series of a frequency; None where none is."""
    names = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    return next((name for name in names if is_among(freq, load(name).freqs)), None)


def for_freq(freq: str) -> str:
    """The shipped recipe for series of a frequency, or the one whose steps are likest. Raises FrequencyError."""
    known = frequency(freq)
    if known.days and known.days % 7 == 0:
        return "weekly"
    return shipped_for(freq) or ("hourly" if known.longest_s < A_DAY_S else "daily")


def of_file(
    path: Path,
    *,
    freq: str,
    model: MixtureConfig,
    schedule: Schedule,
    test_steps: int | None = None,
    timezone: str = UTC,
) -> Recipe:
    """The recipe for one data file of the user's own.

    Args:
        test_steps: the last ones of each series, which are tested on where the file marks no test part; 0 tests on
            none, None on two horizons.
    """
    tested = 2 * model.horizon if test_steps is None else test_steps
    series = read(path, freq=freq, timezone=timezone, test=True, test_steps=tested)
    scored = any(one.test_steps for one in series)
    source = Source(path.name, test_steps=tested, timezone=timezone)
    names = (path.name,) if scored else ()
    return Recipe(path.name.split(".")[0], (freq,), model, schedule, (source,), names, own=True)


def _source(entry: dict[str, Any]) -> Source:
    known = {f.name for f in fields(Source)}
    if unknown := set(entry) - known:
        raise TypeError(f"a source has no field {', '.join(sorted(unknown))}")
    return Source(**{**entry, "prefixes": tuple(entry.get("prefixes", ()))})
