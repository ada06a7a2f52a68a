from pathlib import Path

import numpy as np
import pytest

from models.artifacts.artifact import SHIPPED, find, load
from models.data import DataError, read
from models.mixture import Mixture, MixtureConfig
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
    ("freq", "name"), [("D", "daily"), ("h", "hourly"), ("W-SUN", "weekly"), ("B", "daily"), ("MS", "daily")]
)
def test_a_shipped_recipe_is_found_by_the_frequency(freq: str, name: str) -> None:
    assert for_freq(freq) == name


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
