from pathlib import Path

import numpy as np
import pytest

from models.artifacts.artifact import load, load_module
from models.artifacts.runtime import Doubles, Model
from tests.golden.make_golden import FAN_EVERY
from tests.golden.make_seasons_golden import NAME
from tests.golden.publish_models import MODELS, ROOT
from tests.models.sessions import TOLERANCE, difference, scales, served, unrolled

SERIES = ("counts", "zeros_then_a_count", "first_missing", "huge", "sign_changes")


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest) -> Path:
    return ROOT / str(request.param) / "1"


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


def golden(folder: Path, series: str) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Values (T,), calendar (T, 5), the next step's quantiles (T, Q) and some fans, the last one last (N, H, Q)."""
    with np.load(Path(__file__).parent / f"{folder.parent.name}.npz", allow_pickle=False) as arrays:
        values, calendar, issued, fans = (
            arrays[f"{series}.{part}"] for part in ("values", "calendar", "issued", "fans")
        )
    return values, calendar, issued, fans


@pytest.mark.parametrize("series", SERIES)
def test_stepping_one_by_one_gives_the_golden_forecasts(model: Model, folder: Path, series: str) -> None:
    values, calendar, issued, fans = golden(folder, series)
    features = calendar.astype(np.float32)
    given, sizes, _ = served(model, values[None], features[None])
    assert difference(given[0], issued, sizes[0]) <= TOLERANCE
    states = model.initial_state(1)
    for t in range(len(values)):
        states, _ = model.step(states, values[t : t + 1], features[t : t + 1])
        behind = len(values) - 1 - t
        if behind % FAN_EVERY == 0:
            fan = fans[len(fans) - 1 - behind // FAN_EVERY]
            assert difference(model.forecast(states)[0], fan, scales(model, states)) <= TOLERANCE


@pytest.mark.parametrize("series", SERIES)
def test_the_module_unrolled_gives_the_golden_forecasts(model: Model, folder: Path, series: str) -> None:
    values, calendar, issued, fans = golden(folder, series)
    features = calendar.astype(np.float32)[None]
    given, last = unrolled(load_module(folder), values[None], features)
    _, sizes, states = served(model, values[None], features)
    assert difference(given[0], issued, sizes[0]) <= TOLERANCE
    assert difference(last[0], fans[-1], scales(model, states)) <= TOLERANCE


def test_golden_forecasts_before_the_first_known_value_are_zeros(folder: Path) -> None:
    _, _, issued, _ = golden(folder, "first_missing")
    assert (issued[:3] == 0.0).all()
    assert (issued[3] != 0.0).all()


def test_drift_is_noticed_at_the_golden_steps() -> None:
    folder, noticed = ROOT / NAME / "1", set()
    model = load(folder)
    with np.load(Path(__file__).parent / f"{NAME}.npz", allow_pickle=False) as arrays:
        for name in (*SERIES, "another_way"):
            values, calendar, alarmed = (arrays[f"{name}.{part}"] for part in ("values", "calendar", "alarmed"))
            states = model.initial_state(1)
            for t, expected in enumerate(alarmed.tolist()):
                states, _ = model.step(states, values[t : t + 1], calendar[t : t + 1].astype(np.float32))
                assert model.alarmed(states).tolist() == [expected], (name, t)
            noticed |= {name} if alarmed.any() else set()
    assert "another_way" in noticed
    assert "huge" not in noticed
