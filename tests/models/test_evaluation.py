from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from models.artifacts.artifact import SHIPPED, load
from models.artifacts.runtime import Model
from models.data import DataError, Series, calendar_of, digest, read
from models.evaluation.baselines import NAIVE, NO_NETWORK, SEASONAL_NAIVE, naive
from models.evaluation.collections import Files
from models.evaluation.scoring import stream_scores
from models.evaluation.streaming import EvaluateOptions, evaluate, stream
from tests.models.collection import TEST_STEPS, write_collection


def test_a_forecast_of_the_stream_has_the_bits_of_the_session_folded_alone(model: Model, tmp_path: Path) -> None:
    series = read(write_collection(tmp_path / "weekly.csv", series=3, steps=60), test=True)
    short = series[1]
    cut = type(short)(short.unique_id, short.values[30:], short.imputed[30:], short.timestamps[30:], TEST_STEPS)  # type: ignore[index]
    issued = stream(model, [series[0], cut, series[2]], model.spec.quantiles, None)
    _, alone = model.fold(model.initial_state(1)[0], cut.values, calendar_of(cut))
    np.testing.assert_array_equal(issued[1].stream, alone[cut.train_steps - 1 : -1])
    np.testing.assert_array_equal(issued[1].fan[0], issued[1].stream[0])


def test_a_forecast_does_not_change_with_what_comes_after_it(model: Model, tmp_path: Path) -> None:
    series = read(write_collection(tmp_path / "weekly.csv", series=1, steps=60), test=True)
    before = stream(model, series, model.spec.quantiles, None)[0].stream
    series[0].values[-5:] += 100.0
    after = stream(model, series, model.spec.quantiles, None)[0].stream
    np.testing.assert_array_equal(before[:-4], after[:-4])
    assert not np.array_equal(before[-4:], after[-4:])


def test_the_model_is_scored_beside_the_three_baselines(model: Model, tmp_path: Path) -> None:
    files = [write_collection(tmp_path / f"{name}.csv", seed=k) for k, name in enumerate(("one", "two"))]
    evaluation = evaluate(model, EvaluateOptions(Files(files, season=7), warm_up=100))
    names = [model.spec.label, NO_NETWORK, SEASONAL_NAIVE, NAIVE]
    assert [(row.collection, row.forecaster) for row in evaluation.rows] == [
        (collection, name) for collection in ("one", "two", "all") for name in names
    ]
    assert evaluation.row("all", NAIVE).stream.relative_mae == pytest.approx(1.0)
    assert evaluation.row("one", SEASONAL_NAIVE).stream.relative_mae < 0.8
    assert evaluation.row("one", NO_NETWORK).stream.relative_mae < 1.0
    assert evaluation.row("two", model.spec.label).stream.series == 6
    assert evaluation.sha256["one"] == digest(read(files[0], test=True))


def test_the_forecasts_written_for_other_scorers_are_those_that_were_scored(model: Model, tmp_path: Path) -> None:
    file = write_collection(tmp_path / "weekly.csv", steps=80)
    evaluation = evaluate(model, EvaluateOptions(Files([file]), out=tmp_path / "out"))
    table = pyarrow.parquet.read_table(tmp_path / "out" / "weekly.stream.parquet").to_pydict()
    rows = {(name, k): f for name, k, f in zip(table["unique_id"], table["origin"], table["y_hat"], strict=True)}
    assert set(table["h"]) == {1}
    errors = [
        np.mean([abs(rows[one.unique_id, k] - one.values[one.train_steps + k]) for k in range(TEST_STEPS)])
        / np.abs(np.diff(one.values[: one.train_steps])).mean()
        for one in read(file, test=True)
    ]
    assert evaluation.row("weekly", model.spec.label).stream.mase == pytest.approx(np.mean(errors))
    fan = pyarrow.parquet.read_table(tmp_path / "out" / "weekly.horizon.parquet")
    assert fan.column("h").to_pylist() == 6 * list(range(1, model.spec.horizon + 1))
    assert {"lo_80", "hi_95", "q_0.5"} <= set(fan.column_names)


def test_a_file_without_a_test_part_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    with pytest.raises(DataError, match="no test part"):
        evaluate(model, EvaluateOptions(Files([path])))


def test_a_collection_is_scored_with_its_own_season_and_all_together_with_each(model: Model, tmp_path: Path) -> None:
    files = [write_collection(tmp_path / f"{name}.csv", seed=k, steps=80) for k, name in enumerate(("one", "two"))]
    evaluation = evaluate(model, EvaluateOptions(Files(files, season=7, seasons={"two": 1})))
    one, two, both = (evaluation.row(name, NAIVE).horizon for name in ("one", "two", "all"))
    assert (one.season, two.season, both.season) == (7, 1, None)
    assert two.mase == two.mase_m1
    assert two.owa == 1.0, "Naive2 without a season is the naive forecast"
    assert both.mase == pytest.approx((one.mase + two.mase) / 2)
    seasonal = evaluation.row("two", SEASONAL_NAIVE)
    assert seasonal.stream.relative_mae == pytest.approx(1.0), "a season of one step repeats the last value"


def test_files_that_no_name_tells_apart_and_files_that_are_not_there_are_refused_before_any_is_scored(
    model: Model, tmp_path: Path
) -> None:
    (tmp_path / "later").mkdir()
    files = [write_collection(tmp_path / folder / "shops.csv", steps=40) for folder in ("", "later")]
    told: list[str] = []
    with pytest.raises(DataError, match="2 collections would be called 'shops'"):
        evaluate(model, EvaluateOptions(Files(files)), told.append)
    with pytest.raises(DataError, match=r"typo\.csv: no such file"):
        evaluate(model, EvaluateOptions(Files([files[0], tmp_path / "typo.csv"])), told.append)
    (tmp_path / "bad.csv").write_text("ds,y\n2024-01-01,high\n")
    with pytest.raises(DataError, match="must hold numbers"):
        evaluate(model, EvaluateOptions(Files([files[0], tmp_path / "bad.csv"])), told.append)
    assert told == []


def test_what_cannot_be_scored_is_named(model: Model, tmp_path: Path) -> None:
    rows = ["bare,2025-01-01,1,false"]
    for day in range(1, 32):
        test = str(day > 25).lower()
        rows += [f"{name},2025-01-{day:02},{value},{test}" for name, value in (("well", day % 5), ("still", 3))]
        rows += [f"dead,2025-01-{day:02},{'' if day > 25 else day % 4},{test}"]
    path = tmp_path / "kinds.csv"
    path.write_text("unique_id,ds,y,test\n" + "\n".join(rows) + "\n")
    told: list[str] = []
    evaluation = evaluate(model, EvaluateOptions(Files([path])), told.append)
    assert evaluation.warnings == [
        "kinds: left out, without a test part after a training part: 1 series: bare",
        "kinds: not scored, without a value in the test part: 1 series: dead",
        "kinds: not counted in relMAE, MASE, CRPS and MSIS, as the training part does not move: 1 series: still",
    ]
    assert told[:3] == [f"warning: {line}" for line in evaluation.warnings]
    assert evaluation.row("kinds", NAIVE).stream.series == 2


def test_a_file_is_read_on_its_own_frequency_and_a_model_of_another_is_warned_of(model: Model, tmp_path: Path) -> None:
    days = np.busday_offset("2025-01-01", range(60), roll="forward")
    rows = "".join(f"{day},{k % 5},{str(k >= 50).lower()}\n" for k, day in enumerate(days))
    path = tmp_path / "shares.csv"
    path.write_text(f"ds,y,test\n{rows}")
    business = evaluate(model, EvaluateOptions(Files([path], season=5, freqs={"shares": "B"})))
    assert business.warnings == [f"shares: {model.spec.label} was trained for D series, and these are B"]
    assert business.row("shares", SEASONAL_NAIVE).stream.mase == 0.0, "no weekend comes between a week and the next"
    assert evaluate(model, EvaluateOptions(Files([path], freqs={"shares": "D"}))).warnings == []


def test_alarms_of_drift_in_the_test_part_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    steady = 10.0 + rng.standard_normal(300)
    moved = np.where(np.arange(300) < 280, steady, steady + 12.0 * np.where(np.arange(300) % 2, 1.0, -1.0))
    series = [Series(name, values, np.zeros(300, bool), None, 40) for name, values in (("a", steady), ("b", moved))]
    model = load(SHIPPED / "daily" / "2")
    issued = stream(model, series, model.spec.quantiles, None)
    assert (issued[0].alarms, issued[1].alarms) == (0, 1)
    assert stream_scores(series, issued).alarms == 1000 / 80
    assert stream_scores(series, naive(series, 14)).alarms is None
