import numpy as np
import pytest

from models.data import Series
from models.evaluation.scoring import Issued, horizon_scores, intervals, scale_of_training, stream_scores

QUANTILES = (0.1, 0.5, 0.9)
SERIES = Series("a", np.array([1.0, 3.0, 2.0, 4.0, 6.0, 5.0]), np.array([False] * 5 + [True]), test_steps=3)


def issued(stream: list[list[float]], fan: list[list[float]]) -> list[Issued]:
    return [Issued(np.array(stream), np.array(fan), QUANTILES)]


def test_scores_of_a_small_case_are_those_worked_out_by_hand() -> None:
    # train 1 3 2: mean step 1.5; test 4 6 (5 was filled in); repeating the last value errs by 2 and 2
    forecasts = issued([[3, 5, 6], [4, 5, 5.5], [0, 0, 0]], [[2, 3, 5], [2, 4, 5], [0, 0, 0]])
    scores = stream_scores([SERIES], forecasts)
    assert scores.series == 1
    assert scores.mase == pytest.approx(1.0 / 1.5)
    assert scores.relative_mae == pytest.approx((1.0 + 0.0015) / (2.0 + 0.0015))
    assert scores.coverage == {80: 0.5}
    assert scores.width == {80: pytest.approx((3 + 1.5) / 2 / 1.5)}
    pinball = [0.1 * 1, 0.5 * 1, 0.1 * 2, 0.1 * 2, 0.5 * 1, 0.9 * 0.5]
    assert scores.crps == pytest.approx(2 * np.mean(pinball) / 1.5)
    horizon = horizon_scores([SERIES], forecasts, season=1)
    assert horizon.mase == pytest.approx((1 + 2) / 2 / 1.5)
    assert horizon.coverage == {80: 0.5}


def test_a_missing_actual_is_not_scored_and_the_last_known_value_is_what_is_repeated() -> None:
    series = Series("a", np.array([1.0, 2.0, np.nan, 5.0]), np.zeros(4, dtype=bool), test_steps=2)
    scores = stream_scores([series], issued([[0, 0, 0], [4, 5, 6]], [[0, 0, 0]]))
    assert scores.mase == 0.0
    assert scores.relative_mae == pytest.approx(0.001 / 3.001)


def test_a_scale_falls_back_to_single_steps_where_the_season_repeats_exactly() -> None:
    assert scale_of_training(np.array([1.0, 2.0, 1.0, 2.0]), 2) == 1.0
    assert np.isnan(scale_of_training(np.ones(5), 2))


def test_intervals_are_named_by_their_level_in_percent() -> None:
    assert intervals((0.025, 0.1, 0.5, 0.9, 0.975)) == {80: (1, 3), 95: (0, 4)}
    assert intervals((0.5,)) == {}
