"""Days that a zone never had, as its clocks were set forward across the date line: they are on no grid."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest

from models.dates.grid import Grid, TimestampError, grid

FREQS = ["D", "2D", "3D", "B", "W", "2W", *(f"W-{day}" for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"))]
MONTHS = ["MS", "ME", "QS", "QE", "YS", "YE"]
HOUR = timedelta(hours=1)


class Skipped(NamedTuple):
    """A zone, a day that it never had, and the days around that it had."""

    timezone: str
    day: date
    existing: list[date]


@cache
def skipped_days() -> list[Skipped]:
    """What the database itself says: no hour of the day was ever shown."""
    found = []
    for timezone in sorted(available_timezones()):
        clock = ZoneInfo(timezone)
        months = [datetime(year, month, 1, tzinfo=UTC) for year in range(1840, 2038) for month in range(1, 13)]
        offsets = [month.astimezone(clock).utcoffset() or timedelta() for month in months]
        for month, (before, after) in zip(months, pairwise(offsets), strict=False):
            if after - before >= timedelta(hours=20):
                hours = (month + number * HOUR for number in range(-60 * 24, 90 * 24))
                existing = sorted({hour.astimezone(clock).date() for hour in hours})[1:-1]
                days = (existing[0] + timedelta(days=number) for number in range((existing[-1] - existing[0]).days))
                found += [Skipped(timezone, day, existing) for day in days if day not in existing]
    return found


@pytest.fixture(params=skipped_days(), ids=lambda skipped: f"{skipped.timezone}-{skipped.day}")
def skipped(request: pytest.FixtureRequest) -> Skipped:
    found: Skipped = request.param
    return found


def begun(freq: str, skipped: Skipped, first: date, time: str = "") -> Grid:
    unanchored = grid(freq, skipped.timezone)
    return unanchored.anchored(unanchored.parse(first.isoformat() + time))


def points(grid: Grid, first: int, count: int) -> list[int]:
    """So many points from the anchor's `first` neighbour on."""
    assert grid.anchor is not None
    return [grid.advance(grid.anchor, first + number) for number in range(count)]


def test_the_database_knows_of_such_days() -> None:
    known = {(skipped.timezone, skipped.day.isoformat()) for skipped in skipped_days()}
    assert {
        ("Pacific/Apia", "2011-12-30"),
        ("Pacific/Fakaofo", "2011-12-30"),
        ("Pacific/Kwajalein", "1993-08-21"),
        ("Pacific/Kiritimati", "1994-12-31"),
        ("Pacific/Kanton", "1994-12-31"),
        ("Asia/Manila", "1844-12-31"),
    } <= known


@pytest.mark.parametrize("time", ["", "T09:00", "T23:59:59.999999"])
def test_each_day_that_exists_has_one_point_and_times_rise(skipped: Skipped, time: str) -> None:
    for anchor in (0, 40, -1):  # before the skipped day, and after it
        days = begun("D", skipped, skipped.existing[anchor], time)
        around = points(days, -skipped.existing.index(skipped.existing[anchor]), len(skipped.existing))
        assert [days.local(point).date() for point in around] == skipped.existing
        assert all(before < after for before, after in pairwise(around))


@pytest.mark.parametrize("freq", FREQS)
def test_what_a_freq_picks_of_days_that_exist_is_its_grid(skipped: Skipped, freq: str) -> None:
    first = next(day for day in skipped.existing if grid(freq).is_on(grid(freq).parse(day.isoformat())))
    ordinary = begun(freq, skipped._replace(timezone="UTC"), first)
    picked = [day for day in skipped.existing if day >= first and ordinary.is_on(ordinary.parse(day.isoformat()))]
    for anchor in (0, len(picked) // 2, -1):
        days = begun(freq, skipped, picked[anchor])
        around = points(days, -picked.index(picked[anchor]), len(picked))
        assert [days.local(point).date() for point in around] == picked
        assert [days.steps_between(around[0], point) for point in around] == list(range(len(picked)))
        assert [days.next(point) for point in around[:-1]] == around[1:]
        assert all(days.is_on(point) and days.parse(days.format(point)) == point for point in around)
        assert [day for day in skipped.existing if days.is_on(days.parse(day.isoformat()))] == picked


@pytest.mark.parametrize("freq", MONTHS)
def test_a_month_without_its_first_or_last_day_has_the_one_beside_it(skipped: Skipped, freq: str) -> None:
    unanchored = grid(freq, skipped.timezone)
    around = [unanchored.parse(day.isoformat()) for day in skipped.existing]
    picked = [day for day, point in zip(skipped.existing, around, strict=True) if unanchored.is_on(point)]
    beside = timedelta(days=-1 if freq.endswith("E") else 1)
    ordinary = grid(freq)
    days = [*skipped.existing, skipped.day]
    named = sorted(day for day in days if ordinary.is_on(ordinary.parse(day.isoformat())))
    assert picked == [day + beside if day == skipped.day else day for day in named]
    if picked:
        grids = [begun(freq, skipped, day) for day in picked]
        for days_of in grids:
            first = -picked.index(days_of.local(days_of.anchor or 0).date())
            assert [days_of.local(point).date() for point in points(days_of, first, len(picked))] == picked


def test_hours_pass_over_a_skipped_day_without_a_break(skipped: Skipped) -> None:
    before = skipped.existing[skipped.existing.index(skipped.day - timedelta(days=1))]
    hours = begun("h", skipped, before, "T12:00")
    around = points(hours, 0, 36)
    assert {after - before for before, after in pairwise(around)} == {3600 * 10**6}
    assert [hours.local(point).date() for point in around].count(skipped.day) == 0
    assert [hours.parse(hours.format(point)) for point in around] == around


@pytest.mark.parametrize(
    ("freq", "asked", "nearest"),
    [
        ("B", "2011-12-31", "2011-12-29"),
        ("B", "2012-01-01", "2012-01-02"),
        ("W-FRI", "2011-12-31", "2012-01-06"),
        ("W-FRI", "2011-12-29", "2011-12-23"),
    ],
)
def test_the_nearest_point_is_a_day_that_there_was(freq: str, asked: str, nearest: str) -> None:
    unanchored = grid(freq, "Pacific/Apia")
    anchored = begun(freq, skipped_days()[0]._replace(timezone="Pacific/Apia"), date.fromisoformat(nearest))
    for one in (unanchored, anchored):
        assert one.format(one.nearest(one.parse(asked))) == nearest


def test_a_skipped_day_is_refused_by_its_date(skipped: Skipped) -> None:
    with pytest.raises(TimestampError, match="never had this day"):
        grid("D", skipped.timezone).parse(skipped.day.isoformat())
