"""The times of a data file's rows: on which step of its series' grid each stands, and what its clock shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.dates.frequencies import FrequencyError
from models.dates.grid import Grid, grid
from models.dates.zones import DAY, SECOND, ZoneError, zone
from models.tables import DataError

Stamps = NDArray[np.datetime64]
Steps = NDArray[np.int64]

UTC = "UTC"
DAY_S, SHIFT_S = 86_400, 3_600
"""By as much are clocks set forward and back."""


def steps_and_instants(read: pa.Table, path: Path, timezone: str = UTC) -> tuple[Steps | None, Stamps | None]:
    """The whole-numbered steps and the UTC times of the rows, each None where the file does not give it.

    Args:
        timezone: in which timestamps without an offset are read.
    Raises:
        DataError: neither orders all rows, or the column does not hold it.
    """
    ds = read["ds"] if "ds" in read.column_names else None
    if "t" not in read.column_names and ds is not None and pa.types.is_integer(ds.type):
        return _steps(read, "ds", path), None
    steps = _steps(read, "t", path) if "t" in read.column_names else None
    if ds is None or ds.null_count == len(read):
        return steps, None
    instants = _instants(ds, path, timezone)
    if steps is None and np.isnat(instants).any():
        raise DataError(f"{path}: column 'ds' is empty in some rows", "give every row a timestamp, or a step in 't'")
    return steps, instants


def _steps(read: pa.Table, name: str, path: Path) -> Steps:
    column = read[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise DataError(f"{path}: column {name!r} must hold a whole number in every row", "number the steps: 0, 1, 2")
    return np.asarray(pc.cast(column, pa.int64()), dtype=np.int64)


def _instants(column: "pa.ChunkedArray[Any]", path: Path, timezone: str) -> Stamps:
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        cure = "write timestamps as 2024-01-31 or 2024-01-31T06:00:00"
        raise DataError(f"{path}: column 'ds' is {column.type}", cure)
    offset = getattr(column.type, "tz", None)
    given = np.asarray(pc.cast(column, pa.timestamp("s", tz=offset), safe=False).to_numpy().astype("datetime64[s]"))
    if offset is not None or zone(timezone).fixed == 0:
        return given
    shown, where = np.unique(given, return_inverse=True)
    read = [_instant(moment, path, timezone) for moment in shown]
    return np.array(read, dtype="datetime64[s]")[where]


def _instant(shown: np.datetime64, path: Path, timezone: str) -> np.datetime64:
    """When the zone's clock shows this; a midnight is the beginning of its day, whatever the clock does then."""
    if np.isnat(shown):
        return shown
    wall = int(shown.astype(np.int64)) * SECOND
    found = zone(timezone).instants(wall)
    if len(found) != 1 and wall % DAY:
        occurs = "twice" if found else "never"
        raise DataError(f"{path}: {shown} occurs {occurs} in {timezone}", "write ds with its offset, as +02:00")
    return np.datetime64(zone(timezone).instant(wall) // SECOND, "s")


def walls(instants: Stamps, timezone: str = UTC) -> Stamps:
    """What the zone's clock shows at these UTC times."""
    here = zone(timezone)
    if here.fixed is not None:
        return instants + np.timedelta64(here.fixed // SECOND, "s")
    moments, where = np.unique(instants, return_inverse=True)
    shown = [moment if np.isnat(moment) else _shown(moment, timezone) for moment in moments]
    return np.array(shown, dtype="datetime64[s]")[where]


def _shown(instant: np.datetime64, timezone: str) -> np.datetime64:
    return np.datetime64(zone(timezone).wall(int(instant.astype(np.int64)) * SECOND) // SECOND, "s")


def grid_of(freq: str, timezone: str = UTC) -> Grid:
    """The grid of a frequency that somebody has named.

    Raises:
        DataError: there is no such frequency or zone.
    """
    try:
        return grid(freq, timezone)
    except FrequencyError as error:
        raise DataError(f"the frequency {freq!r} is no name: {error}", "name it so, such as --freq 15min") from error
    except ZoneError as error:
        cure = "name one, such as --timezone Europe/Berlin"
        raise DataError(f"the time zone {timezone!r} is {error}", cure) from error


def on_grid(name: str, stamps: Stamps, points: Grid, path: Path) -> tuple[Steps, Stamps]:
    """(T,) each row's step on a series' grid from its first row on, and (T',) the time of every step up to the last.

    Raises:
        DataError: a row stands beside the grid, which is what the frequency is of.
    """
    instants = (stamps.astype(np.int64) * SECOND).tolist()
    if points.is_on(instants[0]):
        points = points.anchored(instants[0])
    beside = next((stamp for instant, stamp in zip(instants, stamps, strict=True) if not points.is_on(instant)), None)
    if beside is not None:
        why = f"{path}: series {name!r} has {beside}, which {points.freq} does not"
        if _has_two_offsets(stamps):
            moved = "all its times are one of the clock of a zone that changes its offset"
            raise DataError(f"{why}: {moved}", "name that zone: --timezone Europe/Berlin")
        raise DataError(why, "give the data's own --freq")
    steps = np.array([points.steps_between(instants[0], instant) for instant in instants])
    return steps, _between(steps, stamps, points)


def _between(steps: Steps, stamps: Stamps, points: Grid) -> Stamps:
    whole = np.empty(int(steps[-1]) + 1, dtype="datetime64[s]")
    whole[steps] = stamps
    first = int(stamps[0].astype(np.int64)) * SECOND
    for step in np.setdiff1d(np.arange(len(whole)), steps).tolist():
        whole[step] = np.datetime64(points.advance(first, step) // SECOND, "s")
    return whole


def _has_two_offsets(stamps: Stamps) -> bool:
    """Whether all rows stand at one of two times of the day, an hour apart."""
    times = np.unique(stamps.astype(np.int64) % DAY_S).tolist()
    return len(times) == 2 and times[1] - times[0] in (SHIFT_S, DAY_S - SHIFT_S)


def twice(clock: NDArray[Any]) -> str:
    """The first step or time, of those in order, that comes a second time."""
    first = clock[1:][np.diff(clock.astype(np.int64)) <= 0][0]
    return f"step {first}" if np.issubdtype(clock.dtype, np.integer) else str(first)
