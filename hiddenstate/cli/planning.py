"""What the train command trains, and for how long, where its options do not say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.files import checked_freq
from hiddenstate.cli.modelling import find_model

if TYPE_CHECKING:
    from models.training.recipe import Recipe
    from models.training.start import Start

FURTHER_RATE = 5e-4
"""Learning rate of a model that is trained further."""

VALIDATIONS = 16
"""In the whole length of a training on the user's own series."""

PATIENCE = 8
DATELESS = "D"
"""What series without timestamps are taken for, unless a model is trained further."""


def start_of(name: str, models_dir: Path) -> "Start":
    """The model that --from names."""
    from models.training.start import Start

    return Start.of(find_model(name, models_dir))


def recipe_of(
    data: Path,
    recipe: str | None,
    freq: str | None,
    timezone: str,
    start: "Start | None",
    test_steps: int | None,
    say: Callable[[str], None],
) -> "Recipe":
    """The recipe itself for a folder of its files; else one for the file, with what is said of its series."""
    from models.data import freq_of
    from models.training.cycles import adapted
    from models.training.recipe import for_freq, load, of_file

    if data.is_dir():
        _require_none(start, "--from", "is for a file of your own series, and DATA is a folder")
        return load(recipe or "daily")
    dateless = DATELESS if start is None else start.freqs[0]
    found = checked_freq(freq) if freq else freq_of(data, timezone) or dateless
    if start is not None:
        _require_none(recipe, "--recipe", f"and --from exclude each other: {start.label} brings its own")
        _require_same_freq(start, found)
        model, schedule = start.model, replace(start.schedule, learning_rate=FURTHER_RATE)
    else:
        plan, seasons = adapted(load(recipe or for_freq(found)), found, is_shipped=not str(recipe).endswith(".toml"))
        model, schedule = plan.model, plan.schedule
        say(f"{found} series, by the recipe {plan.name}; {seasons}")
    return of_file(data, freq=found, model=model, schedule=schedule, test_steps=test_steps, timezone=timezone)


def _require_same_freq(start: "Start", freq: str) -> None:
    """Raises Fault: the model's seasons are those of another frequency, and --from keeps them."""
    from models.dates.frequencies import is_among
    from models.training.recipe import shipped_for

    if is_among(freq, start.freqs):
        return
    fitting = shipped_for(freq)
    raise Fault(
        ExitCode.USAGE,
        f"--from {start.label} cannot be used for {freq} series",
        f"it is for {', '.join(start.freqs)} series, with a season of {start.model.season} steps, which --from keeps",
        f"--from {fitting}, or leave --from out" if fitting else f"leave --from out: no shipped model is for {freq}",
    )


def changed(
    recipe: "Recipe", *, schedule: Mapping[str, Any], model: Mapping[str, Any], start: "Start | None" = None
) -> "Recipe":
    """The recipe with those values that are given, which is not None."""
    given = {name: value for name, value in model.items() if value is not None and name != "state"}
    if start is not None and given:
        raise Fault(
            ExitCode.USAGE,
            f"--from brings the architecture of {start.label} with it",
            f"{', '.join(f'--{name}' for name in given)} would make it another",
            "leave those out, or --from",
        )
    return replace(
        recipe,
        schedule=replace(recipe.schedule, **{name: value for name, value in schedule.items() if value is not None}),
        model=replace(recipe.model, **{name: value for name, value in model.items() if value is not None}),
    )


def lengths(
    recipe: "Recipe",
    start: "Start | None",
    *,
    updates: int | None,
    patience: int | None,
    every: int | None,
    synthetic: int | None,
) -> dict[str, Any]:
    """How long to train, how often to validate, and how many synthetic series to draw."""
    length = updates or (10_000 if not recipe.own else 4_000 if start is None else 1_500)
    waits = (PATIENCE if recipe.own else 0) if patience is None else patience
    return {
        "updates": length,
        "patience": waits or None,
        "validate_every": every or (max(length // VALIDATIONS, 1) if recipe.own else 480),
        "synthetic_series": synthetic or (40_000 if start is None else 10_000),
    }


def with_covariates(
    recipe: "Recipe", data: Path, start: "Start | None", *, past: str | None, known: str | None, static: str | None
) -> "Recipe":
    """The recipe for a file, with the columns that are named as covariates; each option is a list with commas.

    A model that is trained further begins to learn them, and does so at the rate of its first training.
    """
    from models.training.covariates import measured

    if (past, known, static) == (None, None, None):
        return recipe
    if data.is_dir():
        raise Fault(ExitCode.USAGE, "DATA is a folder", "covariates are columns of a file", "give one file")
    if recipe.model.covariates.names:
        taken = _by_kind(recipe.model.covariates.by_kind)
        raise Fault(ExitCode.USAGE, "the model of --from has its covariates", f"it takes {taken}", "leave yours out")
    kinds = {name: _listed(text) for name, text in {"past": past, "known": known, "static": static}.items()}
    found = measured(data, freq=recipe.freqs[0], timezone=recipe.timezone, test_steps=recipe.test_steps, **kinds)
    rate = recipe.schedule.learning_rate if start is None else start.schedule.learning_rate
    schedule = replace(recipe.schedule, learning_rate=rate)
    return replace(recipe, model=replace(recipe.model, covariates=found), schedule=schedule)


def _listed(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _by_kind(kinds: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names)


def tell(recipe: "Recipe", data: Path, say: Callable[[str], None]) -> None:
    """Say which part is tested on, and what of the series may surprise.

    Raises:
        DataError: they are too short to learn from.
    """
    from models.data import numeric_columns, read
    from models.training.survey import require_enough, warnings

    series = read(
        data, freq=recipe.freqs[0], timezone=recipe.timezone, test=True, test_steps=recipe.test_steps
    )
    require_enough(series, recipe.model.horizon)
    taken, columns = recipe.model.covariates.names, numeric_columns(data)
    if taken:
        say(f"covariates: {_by_kind(recipe.model.covariates.by_kind)}")
    if unused := [name for name in columns if name not in taken]:
        say(f"columns that are not used: {', '.join(unused)}; --past, --known and --static take them as covariates")
    tested = sum(one.test_steps for one in series)
    say(f"{len(series)} series of {sum(map(len, series)):,} steps; {tested:,} of them are the test part")
    for line in warnings(series, season=recipe.model.season, horizon=recipe.model.horizon):
        say(f"warning: {line}")


def _require_none(given: object, option: str, why: str) -> None:
    if given is not None:
        raise Fault(ExitCode.USAGE, f"{option} cannot be used here", f"{option} {why}", f"leave {option} out")
