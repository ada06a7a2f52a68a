"""The series of data files that a model is scored on, and what is to be said of those that it is not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.artifacts.runtime import Model
from models.data import DataError, Series, read, some
from models.dates.frequencies import is_among
from models.evaluation.scoring import scale_of_training
from models.times import UTC

ALL = "all"
"""What the series of several collections are called together."""

MARK = "mark the last rows of each series with test = true, or give a number of --test-steps"


@dataclass(frozen=True, slots=True)
class Files:
    """What to read.

    Attributes:
        paths: data files with a test part; each is a collection, named as it is up to its first dot.
        season: steps of the seasonal baseline and of the horizon's scale; None takes the model's own.
        seasons: the same of single collections, by their names.
        freqs: frequencies of collections, by their names; the others are read on the model's first.
        timezone: in which days begin, and timestamps without an offset are read.
        test_steps: the last ones of each series that are the test part where a file marks none.
    """

    paths: Sequence[Path]
    season: int | None = None
    seasons: Mapping[str, int] = field(default_factory=dict)
    freqs: Mapping[str, str] = field(default_factory=dict)
    timezone: str = UTC
    test_steps: int = 0


@dataclass(frozen=True, slots=True)
class Collection:
    """The series of one file that have a test part.

    Attributes:
        warnings: what of the file may surprise, each of one line.
    """

    name: str
    series: list[Series]
    season: int
    warnings: list[str]


def name_of(path: Path) -> str:
    """The name of a file's collection."""
    return path.name.split(".")[0]


def names_of(paths: Sequence[Path]) -> list[str]:
    """The names of the collections of some files.

    Raises:
        DataError: one is not there, or two would be told apart by nothing.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such file", "check the path")
    names = [name_of(path) for path in paths]
    counts = Counter([*names, ALL]) if len(names) > 1 else Counter(names)
    name, count = counts.most_common(1)[0]
    if count > 1:
        why = f"{count} collections would be called {name!r}, as files are up to their first dot"
        raise DataError(why, "rename one of the files, or evaluate them one by one")
    return names


def collect(files: Files, model: Model) -> list[Collection]:
    """Read all files, so that none is scored before the last one is known to be usable.

    Raises:
        DataError: a file cannot be used, or has no test part.
    """
    names = names_of(files.paths)
    return [_collection(name, path, files, model) for name, path in zip(names, files.paths, strict=True)]


def _collection(name: str, path: Path, files: Files, model: Model) -> Collection:
    spec, given = model.spec, files.freqs.get(name)
    taken = model.encoding.covariates if model.encoding.covariates.names else None
    whole = read(
        path,
        freq=given or spec.freqs[0],
        timezone=files.timezone,
        test=True,
        test_steps=files.test_steps,
        covariates=taken,
    )
    tested = [one for one in whole if one.test_steps and one.train_steps]
    if not tested:
        raise DataError(f"{path}: no test part after a training part", MARK)
    if not any(map(_has_actuals, tested)):
        raise DataError(f"{path}: no test part has a value to score", "give series whose last values are known")
    warnings = _warnings(whole, tested)
    if given and not is_among(given, spec.freqs):
        warnings.insert(0, f"{spec.label} was trained for {', '.join(spec.freqs)} series, and these are {given}")
    season = files.seasons.get(name) or files.season or spec.season
    return Collection(name, tested, season, [f"{name}: {line}" for line in warnings])


def _warnings(whole: Sequence[Series], tested: Sequence[Series]) -> list[str]:
    counted = {id(one) for one in tested}
    kinds = {
        "left out, without a test part after a training part": [one for one in whole if id(one) not in counted],
        "not scored, without a value in the test part": [one for one in tested if not _has_actuals(one)],
        "not counted in relMAE, MASE, CRPS and MSIS, as the training part does not move": [
            one for one in tested if _has_actuals(one) and not _moves(one)
        ],
    }
    return [f"{kind}: {some([one.unique_id for one in found])}" for kind, found in kinds.items() if found]


def _has_actuals(series: Series) -> bool:
    test = slice(series.train_steps, None)
    return bool((~np.isnan(series.values[test]) & ~series.imputed[test]).any())


def _moves(series: Series) -> bool:
    return not np.isnan(scale_of_training(series.values[: series.train_steps], 1))
