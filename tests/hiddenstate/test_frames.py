"""Answers as they print, and as frames."""

import datetime as dt
from importlib.util import find_spec

import pandas as pd
import pytest

from hiddenstate.answers.answer import NotAnAnswer
from hiddenstate.answers.forecasts import Forecast, Forecasts
from hiddenstate.answers.frames import Tabular, columns_of
from hiddenstate.answers.observations import Advance, History, Record
from tests.hiddenstate.test_client import ADVANCE, RECORD

QUANTILES = {"0.025": 108.9, "0.1": 113.4, "0.5": 122.3, "0.9": 131.0, "0.975": 136.2}
FORECAST = {"step": 2, "timestamp": "2026-11-22", "value": 122.3, "quantiles": QUANTILES}
FORECASTS = {
    "session": "store-42", "model": "daily@1", "step": 1, "etag": "life-1", "warmed_up": True, "direct_horizon": 14,
    "forecasts": [FORECAST],
}  # fmt: skip
OBSERVED = RECORD | {"timestamp": "2026-11-21", "value": 121.5}
COLUMNS = ["unique_id", "ds", "y", "yhat", "yhat-lo-80", "yhat-hi-80", "yhat-lo-95", "yhat-hi-95"]
HISTORY = History("store-42", [Record.of(OBSERVED), Record.of(OBSERVED | FORECAST | {"forecast": FORECAST})])


def test_an_advance_prints_what_a_person_wants_to_see() -> None:
    advance = Advance.of(ADVANCE | {"session": "store-42", "observed": OBSERVED, "forecast": FORECAST})
    shown = "<Advance store-42 at step 1, 2026-11-21: 121.5; next 2026-11-22: 122.3 (113.4 to 131, 80 %)>"
    assert repr(advance) == str(advance) == shown


def test_forecasts_print_a_line_for_each() -> None:
    assert str(Forecasts.of(FORECASTS)) == "store-42 after step 1\n  2026-11-22: 122.3 (113.4 to 131, 80 %)"


def test_a_forecast_gives_its_intervals_by_level() -> None:
    forecast = Forecast.of(FORECAST)
    assert (forecast.levels, forecast.interval(95)) == ([80, 95], (108.9, 136.2))


def test_an_answer_keeps_members_that_are_new() -> None:
    assert Forecast.of(FORECAST | {"colour": "blue"}).members["colour"] == "blue"


def test_what_is_no_such_answer_is_told_apart() -> None:
    with pytest.raises(NotAnAnswer):
        Forecast.of({"message": "hello"})


LIBRARIES = [name for name in ("pandas", "polars") if find_spec(name)]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("tabular", [HISTORY, Forecasts.of(FORECASTS), History("empty", [])], ids=repr)
def test_a_frame_has_its_columns_and_types(library: str, tabular: Tabular) -> None:
    frame = getattr(tabular, f"to_{library}")()
    assert list(frame.columns) == (COLUMNS if len(frame) else COLUMNS[:4])
    assert {str(frame[name].dtype).lower() for name in frame.columns[2:]} == {"float64"}
    assert not len(frame) or str(frame["ds"].dtype).lower().startswith("datetime")


def test_a_history_shows_what_came_beside_what_had_been_forecast() -> None:
    frame = HISTORY.to_pandas()
    assert frame["ds"].tolist() == [pd.Timestamp("2026-11-21"), pd.Timestamp("2026-11-22")]
    assert frame["yhat"].isna().tolist() == [True, False]
    assert [frame[name].iloc[1] for name in ("y", "yhat", "yhat-lo-80")] == [122.3, 122.3, 113.4]


def test_a_forecast_has_no_y_yet() -> None:
    assert Forecasts.of(FORECASTS).to_pandas()["y"].isna().all()


def test_times_with_an_offset_are_in_utc_also_beside_dates() -> None:
    rows = [{"unique_id": "a", "ds": "2026-11-21T12:00:00+02:00"}, {"unique_id": "b", "ds": "2026-11-21"}]
    assert columns_of(rows)["ds"] == [
        dt.datetime(2026, 11, 21, 10, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    ]


def test_steps_stay_numbers_and_do_not_mix_with_times() -> None:
    assert columns_of([{"unique_id": "a", "ds": 7}])["ds"] == [7]
    with pytest.raises(ValueError, match="make a frame of each kind"):
        columns_of([{"unique_id": "a", "ds": 7}, {"unique_id": "b", "ds": "2026-11-21"}])
