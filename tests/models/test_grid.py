from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.dates.frequencies import FrequencyError, frequency
from models.dates.grid import Grid, TimestampError, grid
from models.dates.zones import ZoneError, zone

SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FREQS = ["s", "15min", "h", "2h", "D", "3D", "B", "W", "2W", "W-SUN", "MS", "ME", "QS", "QE", "YS", "YE"]
ZONES = [
    "UTC",
    "Etc/GMT+5",
    "Asia/Kolkata",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
]


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def begun(freq: str, first: str, timezone: str = "UTC") -> Grid:
    """The grid of a session whose first timestamp is `first`."""
    unanchored = grid(freq, timezone)
    return unanchored.anchored(unanchored.parse(first))


def following(grid: Grid, first: str, count: int) -> list[str]:
    return [grid.format(grid.advance(grid.parse(first), n)) for n in range(count)]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    freq, timezone = draw(st.sampled_from(FREQS)), draw(st.sampled_from(ZONES))
    moment = draw(st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
    midnight = draw(st.booleans()) and freq not in ("s", "15min", "h", "2h")
    unanchored = grid(freq, timezone)
    wanted = unanchored.nearest(micros(moment.replace(microsecond=0)))
    return unanchored.anchored(unanchored.parse(unanchored.local(wanted).date().isoformat()) if midnight else wanted)


@given(grids(), st.integers(-400, 400))
def test_advancing_by_n_lies_n_steps_away(grid: Grid, n: int) -> None:
    assert grid.anchor is not None
    assert grid.steps_between(grid.anchor, grid.advance(grid.anchor, n)) == n


@given(grids(), st.integers(-200, 200), st.integers(-200, 200))
def test_advances_add_up(grid: Grid, a: int, b: int) -> None:
    assert grid.anchor is not None
    assert grid.advance(grid.advance(grid.anchor, a), b) == grid.advance(grid.anchor, a + b)


@given(grids(), st.integers(-400, 400))
def test_what_is_written_is_read_as_the_same_instant(grid: Grid, n: int) -> None:
    assert grid.anchor is not None
    instant = grid.advance(grid.anchor, n)
    assert grid.parse(grid.format(instant)) == instant


@given(grids(), st.integers(-400, 400))
def test_every_point_is_on_the_grid_and_a_second_later_is_not(grid: Grid, n: int) -> None:
    assert grid.anchor is not None
    instant = grid.advance(grid.anchor, n)
    assert grid.is_on(instant)
    assert grid.nearest(instant) == instant
    assume(grid.freq != "s")
    assert not grid.is_on(instant + SECOND)
    assert grid.nearest(instant + SECOND) == instant


@given(grids(), st.integers(-400, 400))
def test_the_next_is_later_and_one_step_away(grid: Grid, n: int) -> None:
    assert grid.anchor is not None
    instant = grid.advance(grid.anchor, n)
    after = grid.next(instant)
    assert instant < after <= instant + grid.longest_period_s * SECOND + 3600 * SECOND
    assert grid.steps_between(instant, after) == 1
    assert grid.next(after) == grid.advance(instant, 2)


@given(grids(), st.integers(-400, 400))
def test_a_session_begun_later_on_the_grid_has_the_same_grid(first: Grid, n: int) -> None:
    assert first.anchor is not None
    later = first.advance(first.anchor, n)
    assume(first.local(later).time() == first.local(first.anchor).time())  # not at a skipped wall clock
    assert grid(first.freq, first.timezone, later).advance(later, 7) == first.advance(later, 7)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("freq", [*FREQS, "W-MON", "W-WED"])
def test_the_points_are_those_of_pandas(freq: str, timezone: str) -> None:
    expected = pd.date_range("2019-12-31", periods=400, freq=freq, tz=timezone)
    if freq in ("W", "2W"):  # pandas reads W as W-SUN; here the first timestamp sets the weekday
        expected = pd.date_range("2019-12-31", periods=400, freq=f"{7 if freq == 'W' else 14}D", tz=timezone)
    unanchored = grid(freq, timezone)
    first = micros(expected[0].to_pydatetime())
    ours = unanchored.anchored(first)
    assert [ours.advance(first, n) for n in range(400)] == [micros(moment.to_pydatetime()) for moment in expected]


def test_a_calendar_freq_falls_on_its_own_days() -> None:
    for freq, right, wrong in [
        ("B", "2026-11-20", "2026-11-21"),
        ("W-MON", "2026-11-23", "2026-11-21"),
        ("MS", "2026-11-01", "2026-11-02"),
        ("ME", "2024-02-29", "2024-02-28"),
        ("QS", "2026-10-01", "2026-11-01"),
        ("QE", "2026-09-30", "2026-10-31"),
        ("YS", "2026-01-01", "2026-02-01"),
        ("YE", "2026-12-31", "2026-11-30"),
    ]:
        unanchored = grid(freq)
        assert unanchored.is_on(unanchored.parse(right))
        assert not unanchored.is_on(unanchored.parse(wrong))
        with pytest.raises(TimestampError):
            begun(freq, wrong)


@pytest.mark.parametrize(
    ("freq", "asked", "nearest"),
    [
        ("ME", "2026-11-21", "2026-11-30"),
        ("MS", "2026-11-12", "2026-11-01"),
        ("B", "2026-11-21", "2026-11-20"),
        ("B", "2026-11-22", "2026-11-23"),
        ("W-MON", "2026-11-21", "2026-11-23"),
    ],
)
def test_the_nearest_is_named_even_before_a_first_timestamp(freq: str, asked: str, nearest: str) -> None:
    unanchored = grid(freq)
    assert unanchored.format(unanchored.nearest(unanchored.parse(asked))) == nearest


def test_month_ends_and_leap_days() -> None:
    assert following(begun("ME", "2024-01-31"), "2024-01-31", 4) == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
    ]
    assert following(begun("D", "2024-02-28"), "2024-02-28", 3) == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert following(begun("D", "2100-02-28"), "2100-02-28", 2) == ["2100-02-28", "2100-03-01"]


def test_the_first_timestamp_sets_the_phase() -> None:
    assert following(begun("W", "2026-11-21"), "2026-11-21", 2) == ["2026-11-21", "2026-11-28"]
    assert not begun("2D", "2026-11-21").is_on(grid("D").parse("2026-11-22"))
    hydrological = begun("D", "2026-11-21T09:00:00")
    assert following(hydrological, "2026-11-21 09:00", 2) == ["2026-11-21T09:00:00Z", "2026-11-22T09:00:00Z"]
    assert not hydrological.is_on(hydrological.parse("2026-11-22"))
    assert hydrological.format(hydrological.nearest(hydrological.parse("2026-11-22"))) == "2026-11-22T09:00:00Z"


def test_days_follow_the_wall_clock_and_hours_the_absolute_one() -> None:
    days = begun("D", "2026-03-28T12:00:00", "Europe/Berlin")
    assert following(days, "2026-03-28T12:00:00", 2) == ["2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00"]
    hours = begun("h", "2026-03-29T01:00:00", "Europe/Berlin")
    assert following(hours, "2026-03-29T01:00:00", 2) == ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]
    hours = begun("h", "2026-10-25T01:00:00", "Europe/Berlin")
    assert following(hours, "2026-10-25T01:00:00", 3) == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]


@pytest.mark.parametrize(("freq", "text"), [("h", "2026-10-25T02:30:00"), ("D", "2026-10-25 02:30")])
def test_a_local_time_that_occurs_twice_needs_an_offset(freq: str, text: str) -> None:
    with pytest.raises(TimestampError, match="occurs twice in Europe/Berlin: add the offset"):
        grid(freq, "Europe/Berlin").parse(text)


def test_a_local_time_that_never_occurs_needs_an_offset() -> None:
    with pytest.raises(TimestampError, match="occurs never in Europe/Berlin: add the offset"):
        grid("h", "Europe/Berlin").parse("2026-03-29T02:30:00")


def test_either_of_two_equal_wall_clocks_is_the_same_day() -> None:
    days = begun("D", "2026-10-24T02:30:00", "Europe/Berlin")
    assert days.parse("2026-10-25T02:30:00+01:00") == days.parse("2026-10-25T02:30:00+02:00")
    hours = grid("h", "Europe/Berlin")
    assert hours.parse("2026-10-25T02:30:00+01:00") - hours.parse("2026-10-25T02:30:00+02:00") == 3600 * SECOND


def test_a_day_whose_wall_clock_is_skipped_still_has_its_point() -> None:
    days = begun("D", "2026-03-28T02:30:00", "Europe/Berlin")
    assert following(days, "2026-03-28T02:30:00", 3) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:30:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert days.is_on(days.parse("2026-03-29T03:30:00"))


def test_a_date_alone_names_its_day_whatever_its_midnight() -> None:
    twice = begun("D", "2026-10-31", "America/Havana")  # the clock shows midnight twice on 2026-11-01
    assert following(twice, "2026-10-31", 3) == ["2026-10-31", "2026-11-01", "2026-11-02"]
    never = begun("D", "2018-11-03", "America/Sao_Paulo")  # and skips it on 2018-11-04
    assert following(never, "2018-11-03", 3) == ["2018-11-03", "2018-11-04", "2018-11-05"]
    assert never.steps_between(never.parse("2018-11-03"), never.parse("2018-11-05")) == 2


def test_a_day_that_a_zone_never_had_is_refused() -> None:
    days = begun("D", "2011-12-29", "Pacific/Apia")  # which went from the 29th to the 31st
    with pytest.raises(TimestampError, match="Pacific/Apia never had this day"):
        days.parse("2011-12-30")
    assert days.format(days.parse("2011-12-31")) == "2011-12-31"


def test_a_wall_clock_set_forward_across_midnight_keeps_the_count() -> None:
    late = begun("D", "2024-03-29T23:30:00", "America/Nuuk")  # 23:00 on the 30th became midnight of the 31st
    points = [late.advance(late.anchor or 0, n) for n in range(4)]
    assert [late.steps_between(points[0], point) for point in points] == [0, 1, 2, 3]
    assert all(late.is_on(point) for point in points)


def test_offsets_are_converted_to_the_zone() -> None:
    assert grid("D").format(grid("D").parse("2026-11-21T01:00:00+01:00")) == "2026-11-21"
    shifted = begun("D", "2026-11-20")
    assert not shifted.is_on(shifted.parse("2026-11-21T00:00:00+02:00"))
    for text in (
        "2026-11-21T03:00:00Z",
        "2026-11-21T05:00:00+02:00",
        "2026-11-21t05:00:00+0200",
        "2026-11-21 05:00+02",
    ):
        assert grid("h").parse(text) == micros(datetime(2026, 11, 21, 3, tzinfo=UTC))


def test_hours_are_written_with_seconds_and_offset() -> None:
    assert grid("h").format(grid("h").parse("2026-11-21T09:00")) == "2026-11-21T09:00:00Z"
    assert grid("h", "Etc/GMT+5").format(grid("h", "Etc/GMT+5").parse("2026-11-21")) == "2026-11-21T00:00:00-05:00"


def test_microseconds_are_kept_and_finer_ones_refused() -> None:
    half = grid("s").parse("2026-11-21T09:00:00.5")
    assert grid("s").format(half) == "2026-11-21T09:00:00.500000Z"
    assert grid("s").parse("2026-11-21T09:00:00.500000000") == half
    with pytest.raises(TimestampError, match="finer than a microsecond"):
        grid("s").parse("2026-11-21T09:00:00.0000001")


@pytest.mark.parametrize(
    "text",
    ["", "1732147200", "20261121", "2026-W47-6", "2026-325", "2026-11", "21.11.2026", "2026-13-01", "2026-02-30",
     "2026-11-21T24:00:00", "2026-11-21T09", "2026-11-21T09:00:60", "2026-11-21T09:00:00 UTC", "2026-11-21Z",
     "2026-11-21T09:00:00+24:00", " 2026-11-21", "2026-11-21 ", "\uff12026-11-21", "0000-01-01", "0099-12-31",
     "2500-01-01", "9999-12-31", "now"],
)  # fmt: skip
@pytest.mark.parametrize("freq", ["D", "h"])
@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
def test_what_is_no_iso_timestamp_is_refused_without_repeating_it(text: str, freq: str, timezone: str) -> None:
    with pytest.raises(TimestampError) as refused:
        grid(freq, timezone).parse(text)
    assert "2026-11-21 or" in str(refused.value) or not any(part in str(refused.value) for part in text.split())


def test_the_ends_of_time_are_refused() -> None:
    last = begun("YE", "2499-12-31")
    assert last.format(last.advance(last.parse("2499-12-31"), 140)) == "2639-12-31"
    with pytest.raises(TimestampError, match="outside of the years 1 to 9999"):
        last.advance(last.parse("2499-12-31"), 8000)
    with pytest.raises(TimestampError, match="outside of the years 1 to 9999"):
        begun("D", "2026-11-21").advance(0, 10**9)


@pytest.mark.parametrize(
    ("old", "named"),
    [("H", "h"), ("T", "min"), ("S", "s"), ("M", "ME"), ("Q", "QE"), ("A", "YE"), ("Y", "YE"), ("15T", "min"),
     ("2H", "h"), ("d", "D"), ("MIN", "min"), ("w-mon", "W-MON"), ("me", "ME")],
)  # fmt: skip
def test_an_old_or_misspelt_frequency_is_refused_with_the_right_one(old: str, named: str) -> None:
    with pytest.raises(FrequencyError, match=rf"\b{named}\b"):
        frequency(old)


@pytest.mark.parametrize("name", ["01D", "10000min"])
def test_a_multiple_that_cannot_be_is_refused_as_such(name: str) -> None:
    with pytest.raises(FrequencyError, match="a multiple is 1 to 9999"):
        frequency(name)


def test_month_is_refused_with_both_of_its_new_names() -> None:
    with pytest.raises(FrequencyError, match="month end is ME, month start is MS"):
        frequency("M")


@pytest.mark.parametrize(
    "name",
    ["", "0D", "01D", "-1D", "1.5h", "2B", "3ME", "99999s", "3661D", "523W", "W-FOO", "WS", "D ", "ms", "QE-MAR"],
)
def test_other_frequencies_are_refused(name: str) -> None:
    with pytest.raises(FrequencyError):
        frequency(name)


def test_a_multiple_of_one_is_the_frequency_itself() -> None:
    assert grid("1D").freq == "D"
    assert grid("60min").freq == "60min"


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "/etc/localtime", "../UTC", "localtime", "Europe", "UTC\n", "+01:00"]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ZoneError):
        zone(name)


def test_the_local_time_is_that_of_the_wall_clock() -> None:
    berlin = grid("D", "Europe/Berlin")
    assert berlin.local(berlin.parse("2026-07-01T09:30:00Z")).isoformat() == "2026-07-01T11:30:00+02:00"
