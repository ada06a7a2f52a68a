"""Advances that are written by column have the bytes of those written one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.dates.grid import grid
from service.storage.answers import WARMED_UP, Label, read_answers
from service.storage.layout import NO_TIME, Structured, outcome_dtype
from service.wire import render
from service.wire.batch import rendering as batch_rendering

Row = tuple[int, int, int, float | None, list[float] | None, list[float] | None, int, bool]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
QUANTILES = st.none() | st.lists(NUMBERS, min_size=5, max_size=5).map(sorted)
DAY = 86_400_000_000
GRIDS = (None, grid("D", "UTC", 0), grid("h", "UTC", 0), grid("D", "Europe/Berlin", -3_600_000_000))
ROW = st.tuples(
    st.integers(0, len(GRIDS) - 1),
    st.integers(1, 2**40),
    st.integers(0, 40_000),
    NUMBERS | st.none(),
    QUANTILES,
    QUANTILES,
    st.integers(0, 40),
    st.booleans(),
)


def outcome_of(row: Row) -> Structured:
    number, step, day, value, issued, forecast, imputed, is_warm = row
    outcome: Structured = np.zeros((), outcome_dtype(0))
    observed = outcome["observed"]
    outcome["step"] = observed["step"] = step
    outcome["revision"], outcome["applied"], outcome["imputed"] = step + 2, 1, imputed
    outcome["incarnation"] = np.arange(8) + number
    outcome["flags"] = WARMED_UP if is_warm else 0
    outcome["forecast"] = np.nan if forecast is None else forecast
    observed["issued"] = np.nan if issued is None else issued
    observed["value"] = np.nan if value is None else value
    observed["original"] = observed["revised"] = np.nan
    is_counted = GRIDS[number] is None
    observed["timestamp"], outcome["forecast_time"] = (NO_TIME,) * 2 if is_counted else (day * DAY, (day + 1) * DAY)
    return outcome


@given(st.lists(ROW, min_size=1, max_size=20))
def test_by_column_or_one_by_one_the_bytes_are_the_same(
    rows: list[Row],
) -> None:
    outcomes = np.stack([outcome_of(row) for row in rows])
    labels = [Label(f"a.{number}", "daily@1", GRIDS[row[0]]) for number, row in enumerate(rows)]
    expected = [render.advance(label, answer) for label, answer in zip(labels, read_answers(outcomes), strict=True)]
    assert batch_rendering.advances(labels, outcomes) == expected
