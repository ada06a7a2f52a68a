from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifacts.artifact import SHIPPED, find, load
from models.data import DataError, read
from models.dates.calendar import CALENDAR
from models.mixture import Mixture, MixtureConfig
from models.training.cycles import adapted
from models.training.recipe import Schedule, for_freq, of_file
from models.training.recipe import load as load_recipe
from models.training.start import Start
from models.training.validation import HELD_OUT, validation_parts
from tests.models.collection import write_collection


@pytest.mark.parametrize("name", ["daily", "hourly", "weekly"])
def test_a_shipped_recipe_is_the_one_that_the_newest_shipped_model_was_trained_by(name: str) -> None:
    recipe = load_recipe(name)
    folder = [folder for folder in find([SHIPPED]) if folder.parent.name == name][-1]
    spec = load(folder).spec
    assert [source.file for source in recipe.sources] == [source["file"] for source in spec.provenance["sources"]]
    assert Start.of(folder).schedule == recipe.schedule
    assert MixtureConfig.of(spec.architecture) == recipe.model
    assert spec.freqs == recipe.freqs
    assert sum(source.weight for source in recipe.sources) == pytest.approx(1.0)
    assert all(source.licence and source.attribution for source in recipe.sources)


@pytest.mark.parametrize(
    "text",
    ["freqs = ", "[model]\nseason = 7\n", 'freqs = ["D"]\n[training]\nsteps = 3\n', "freqs = []\n[[source]]\nx = 1\n"],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(DataError, match="not a recipe"):
        load_recipe(path)


def test_an_unknown_recipe_is_refused_with_the_names_of_those_that_ship() -> None:
    with pytest.raises(DataError, match=r"no such recipe; give a \.toml file or one of: daily"):
        load_recipe("yearly")


def test_the_test_part_of_a_single_file_is_scored_where_it_has_one(tmp_path: Path) -> None:
    file = write_collection(tmp_path / "sales.csv", series=1, steps=30)
    assert of_file(file, freq="D", model=MixtureConfig(), schedule=Schedule()).scored == ("sales.csv",)
    file.write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    recipe = of_file(file, freq="D", model=MixtureConfig(), schedule=Schedule())
    assert (recipe.name, recipe.scored) == ("sales", ())


@pytest.mark.parametrize(
    ("freq", "name"),
    [
        *(("D", "daily"), ("h", "hourly"), ("W-SUN", "weekly"), ("B", "daily"), ("MS", "daily")),
        *(("15min", "hourly"), ("6h", "hourly"), ("24h", "daily"), ("2W", "weekly")),
    ],
)
def test_a_shipped_recipe_is_found_by_the_frequency(freq: str, name: str) -> None:
    assert for_freq(freq) == name


@pytest.mark.parametrize(
    ("freq", "season", "longer", "told"),
    [
        ("D", 7, 0, "a season has 7 steps"),
        ("B", 5, 0, "a season has 5 steps, a week"),
        ("h", 24, 168, "a season has 24 steps"),
        ("2h", 12, 84, "a season has 12 steps, a day, and a longer one 84"),
        ("5h", 24, 168, "a season has 24 steps, 5 days, and a longer one 168"),
        ("12h", 2, 14, "a season has 2 steps, a day, and a longer one 14"),
        ("15min", 96, 0, "a season has 96 steps, a day"),
        ("5min", 12, 0, "a season has 12 steps, an hour: a day would have 288, and the longest season that is"),
        ("1s", 60, 0, "a season has 60 steps, a minute: a day would have 86400"),
        ("2D", 7, 0, "a season has 7 steps, 2 weeks"),
        ("2W", 26, 0, "a season has 26 steps, a year"),
        ("QE", 4, 0, "a season has 4 steps, a year"),
        ("YS", 7, 0, "no season of YS series is known, so a season has 7 steps, as in the recipe; --season"),
    ],
)
def test_a_recipe_of_another_frequency_gets_the_seasons_of_this_one(
    freq: str, season: int, longer: int, told: str
) -> None:
    recipe, said = adapted(load_recipe(for_freq(freq)), freq, is_shipped=True)
    assert (recipe.model.season, recipe.model.longer) == (season, longer)
    assert said.startswith(told)
    module, steps = Mixture(recipe.model), 4 * season
    values = torch.sin(torch.arange(steps, dtype=torch.float64) * 2.0 * torch.pi / season + 1.0)[None]
    with torch.no_grad():
        fans, _ = module.unroll(values, torch.zeros(1, steps, CALENDAR), module.initial_state(1))
    error = (fans[0, 3 * season : -1, 0, module.scores.median] - values[0, 3 * season + 1 :]).abs()
    assert error.max() < 0.05, "three seasons tell what the fourth will be"


def test_a_recipe_of_the_users_own_keeps_its_seasons() -> None:
    recipe, _ = adapted(load_recipe("daily"), "15min", is_shipped=False)
    assert recipe.model.season == 7


def test_the_ends_that_validate_are_left_out_of_what_is_trained_on(tmp_path: Path) -> None:
    series = read(write_collection(tmp_path / "weekly.csv"))
    [part], validation = validation_parts([("weekly", series)], MixtureConfig())
    shortened = [len(one) - len(kept) for one, kept in zip(series, part, strict=True)]
    assert sorted(shortened) == [0] * 5 + [HELD_OUT]
    held = series[shortened.index(HELD_OUT)]
    assert (validation.known == 1.0).all()
    assert validation.values[0, -HELD_OUT:].tolist() == held.values[-HELD_OUT:].tolist()


def test_every_series_of_the_users_own_validates_however_short_and_with_gaps(tmp_path: Path) -> None:
    series = read(write_collection(tmp_path / "sales.csv", series=4, steps=90))
    series[2].values[-12:-4] = np.nan
    [part], validation = validation_parts([("sales", series)], MixtureConfig(), own=True)
    assert [len(one) - len(kept) for one, kept in zip(series, part, strict=True)] == [9] * 4
    assert validation.judged.sum(dim=1).tolist() == [9, 9, 4, 9]
    assert validation.values[2, -9:-4].tolist() == [series[2].values[-13]] * 5
    [error] = validation.relative_error(Mixture(MixtureConfig())).values()
    assert 0.1 < error < 1.0
