"""Cycles of a frequency: how many steps until the day, the week or the year comes round again."""

from dataclasses import dataclass, replace
from math import lcm

from models.dates.frequencies import DAY, SECOND, frequency, is_among
from models.training.recipe import Recipe

MINUTE, HOUR, WEEK = 60 * SECOND, 3600 * SECOND, 7 * DAY
WEEKS_IN_A_YEAR = 52
BY_CALENDAR = {"B": (5, "week"), "MS": (12, "year"), "ME": (12, "year"), "QS": (4, "year"), "QE": (4, "year")}
"""Steps of the season of frequencies that are no fixed period."""

SEEN = 3
"""A cycle comes so many times in a window of training, or it is not learned and the state does not keep it."""

SHOWN = 24
"""Phases to come of a season of more steps that the network is shown."""


@dataclass(frozen=True, slots=True)
class Cycles:
    """The seasons that a model of a frequency remembers.

    Attributes:
        season: steps of the season; longer: of a second, longer one, 0 where there is none.
        told: what they are, for people.
    """

    season: int
    longer: int
    told: str


def adapted(recipe: Recipe, freq: str, *, is_shipped: bool) -> tuple[Recipe, str]:
    """The recipe with the seasons of a frequency where it is of another one, and what they are.

    Args:
        is_shipped: a recipe of the user's own says itself what its seasons are.
    """
    model = recipe.model
    unchanged = f"a season has {model.season} steps"
    if not is_shipped or is_among(freq, recipe.freqs):
        return recipe, unchanged
    found = cycles_of(freq, longest=recipe.schedule.window // SEEN)
    if found is None:
        return recipe, f"no season of {freq} series is known, so {unchanged}, as in the recipe; --season gives another"
    shown = model.shown or SHOWN
    shown = shown if found.season > shown else 0
    return replace(recipe, model=replace(model, season=found.season, longer=found.longer, shown=shown)), found.told


def cycles_of(freq: str, *, longest: int) -> Cycles | None:
    """The cycles of a frequency that have `longest` steps at most; None where none is known.

    Raises:
        FrequencyError: there is none of that name.
    """
    known = frequency(freq)
    if known.name in BY_CALENDAR:
        season, cycle = BY_CALENDAR[known.name]
        return Cycles(season, 0, f"a season has {season} steps, a {cycle}")
    period = known.absolute or known.days * DAY
    if not period:
        return None
    if period < DAY:
        return _within_a_day(period, longest)
    season = _steps(period, WEEK)
    if season > 1:
        return Cycles(season, 0, f"a season has {season} steps, {_whole(season * period, WEEK, 'week')}")
    season = round(WEEKS_IN_A_YEAR * WEEK / period)
    return Cycles(season, 0, f"a season has {season} steps, a year") if season > 1 else None


def _within_a_day(period: int, longest: int) -> Cycles | None:
    day, week = _steps(period, DAY), _steps(period, WEEK)
    if day <= longest:
        longer = week if day < week <= longest else 0
        told = f"a season has {day} steps, {_whole(day * period, DAY, 'day')}"
        return Cycles(day, longer, told + (f", and a longer one {longer}" if longer else ""))
    for length, name in ((HOUR, "hour"), (MINUTE, "minute")):
        season = _steps(period, length)
        if 2 <= season <= longest and period < length:
            told = f"a season has {season} steps, {_whole(season * period, length, name)}"
            why = f"a day would have {day}, and the longest season that is remembered has {longest}"
            return Cycles(season, 0, f"{told}: {why}; means of longer steps, such as 15min, have the day")
    return None


def _steps(period: int, length: int) -> int:
    """Until a step begins where a cycle of this length does."""
    return lcm(period, length) // period


def _whole(span: int, length: int, name: str) -> str:
    count = span // length
    return f"{'an' if name == 'hour' else 'a'} {name}" if count == 1 else f"{count} {name}s"
