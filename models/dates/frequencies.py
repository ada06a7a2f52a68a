"""Frequencies by their pandas names: fixed periods, and rules that pick days out of the calendar."""

import re
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Protocol

SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
LONGEST_S = 10 * 366 * 86_400
"""So that forecasts from any timestamp that is read stay inside the calendar."""

ABSOLUTE = {"s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND}
FIXED_DAYS = {"D": 1, "W": 7}
MONTHS = {"MS": (1, False), "ME": (1, True), "QS": (3, False), "QE": (3, True), "YS": (12, False), "YE": (12, True)}
OLD_NAMES = {
    "S": "seconds are s",
    "T": "minutes are min",
    "H": "hours are h",
    "M": "month end is ME, month start is MS",
    "Q": "quarter end is QE, quarter start is QS",
    "A": "year end is YE, year start is YS",
    "Y": "year end is YE, year start is YS",
}
NAMES = "s min h D B W W-MON..W-SUN MS ME QS QE YS YE, and multiples of s min h D W such as 15min"
PATTERN = re.compile(r"(0|[1-9][0-9]{0,3})?(s|min|h|D|W(?:-[A-Z]{3})?|B|[MQY][SE])")


class FrequencyError(ValueError):
    """Not the name of a frequency; the message names the right one where it can."""


class Days(Protocol):
    """The days that a frequency picks, numbered in order; days are counted since 1970-01-01."""

    def floor(self, day: int) -> int:
        """Number of the latest picked day that is not after `day`."""
        ...

    def day(self, number: int) -> int: ...


@dataclass(frozen=True, slots=True)
class EveryDays:
    """Every `count` days from `phase` on."""

    count: int
    phase: int

    def floor(self, day: int) -> int:
        return (day - self.phase) // self.count

    def day(self, number: int) -> int:
        return self.phase + number * self.count


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """Monday to Friday; holidays are unknown to it."""

    def floor(self, day: int) -> int:
        week, weekday = divmod(day + EPOCH_WEEKDAY, 7)
        return 5 * week + min(weekday, 4)

    def day(self, number: int) -> int:
        week, weekday = divmod(number, 5)
        return 7 * week + weekday - EPOCH_WEEKDAY


@dataclass(frozen=True, slots=True)
class MonthDays:
    """The first (or last) day of every `months` months, counted from January; not one that a zone `never` had."""

    months: int
    last: bool
    never: tuple[int, ...] = ()

    def floor(self, day: int) -> int:
        # A day is the last of its period where the next day is the first of one.
        moment = date.fromordinal(self._from(day + self.last, 1) + EPOCH_ORDINAL)
        return (12 * moment.year + moment.month - 1) // self.months - self.last

    def day(self, number: int) -> int:
        year, month = divmod((number + self.last) * self.months, 12)
        first = date(year, month + 1, 1).toordinal() - EPOCH_ORDINAL
        return self._from(first - 1, -1) if self.last else self._from(first, 1)

    def _from(self, day: int, step: int) -> int:
        while day in self.never:
            day += step
        return day


@dataclass(frozen=True, slots=True)
class ExistingDays:
    """The days that are picked, without some that a zone never had.

    Args:
        never: the numbers of those among the picked, in order.
    """

    picked: Days
    never: tuple[int, ...]

    def floor(self, day: int) -> int:
        number = self.picked.floor(day)
        return number - bisect_right(self.never, number)

    def day(self, number: int) -> int:
        for left_out in self.never:
            number += left_out <= number
        return self.picked.day(number)


@dataclass(frozen=True, slots=True)
class Frequency:
    """A frequency without a phase.

    Attributes:
        name: as pandas writes it, "D" rather than "1D".
        absolute: microseconds of the period on the absolute clock; 0 for frequencies that follow the calendar.
        days: period in days of `nD` and `nW`, whose phase the first timestamp sets; 0 for the others.
        weekday: the weekday that `W-MON` and the like fall on, 0 = Monday; None for the others.
        calendar: the days of `B`, `MS` and the like; None for the others.
        longest_s: seconds of the longest period.
        never: days that the zone never had: they are not picked.
    """

    name: str
    absolute: int
    days: int
    weekday: int | None
    calendar: Days | None
    longest_s: float
    never: tuple[int, ...] = ()

    def without(self, never: tuple[int, ...]) -> "Frequency":
        """The same in a zone that never had these days."""
        if not never:
            return self
        calendar = None if self.calendar is None else _existing(self.calendar, never)
        return replace(self, calendar=calendar, never=never)

    def days_from(self, phase: int) -> Days:
        """The days picked where `phase` is one of them; only for frequencies that are not absolute."""
        return self.calendar if self.calendar is not None else _existing(EveryDays(self.days, phase), self.never)

    def picks(self, day: int) -> bool:
        """Whether a grid may begin on `day`."""
        if day in self.never:
            return False
        if self.weekday is not None:
            return (day + EPOCH_WEEKDAY) % 7 == self.weekday
        return self.calendar is None or self.calendar.day(self.calendar.floor(day)) == day


@lru_cache(maxsize=1024)
def frequency(name: str) -> Frequency:
    """The frequency of that name.

    Raises:
        FrequencyError: there is none; the message says which are, or the new name of an old one.
    """
    matched = PATTERN.fullmatch(name)
    if matched is None:
        raise FrequencyError(_refusal(name))
    digits, unit = matched.groups()
    multiple = int(digits or 1)
    if multiple == 0:
        raise FrequencyError("the multiple must be at least 1")
    if multiple * {**ABSOLUTE, "D": DAY, "W": 7 * DAY}.get(unit, 0) > LONGEST_S * SECOND:
        raise FrequencyError("a period is at most ten years")
    canonical = unit if multiple == 1 else name
    if unit in ABSOLUTE:
        period = multiple * ABSOLUTE[unit]
        return Frequency(canonical, period, 0, None, None, period / SECOND)
    if unit in FIXED_DAYS:
        return _every_days(canonical, multiple * FIXED_DAYS[unit], None)
    if digits is not None and multiple != 1:
        raise FrequencyError(f"only s min h D W take multiples, {unit} does not")
    if unit.startswith("W-"):
        if unit[2:] not in WEEKDAYS:
            raise FrequencyError(_refusal(name))
        return _every_days(canonical, 7, WEEKDAYS.index(unit[2:]))
    if unit == "B":
        return Frequency(canonical, 0, 0, None, BusinessDays(), 3 * 86_400.0)
    months, last = MONTHS[unit]
    return Frequency(canonical, 0, 0, None, MonthDays(months, last), {1: 31, 3: 92, 12: 366}[months] * 86_400.0)


def is_among(name: str, others: Collection[str]) -> bool:
    """Whether the frequency is one of these, whatever weekday it falls on."""
    return name in others or _family(name) in map(_family, others)


def _family(name: str) -> str:
    try:
        return frequency(name).name.partition("-")[0]
    except FrequencyError:
        return name


def _existing(days: Days, never: tuple[int, ...]) -> Days:
    """The same in a zone that never had these days. A month that lost its last one ends with the day before."""
    if isinstance(days, MonthDays):
        return replace(days, never=never)
    numbers = tuple(number for day in never if days.day(number := days.floor(day)) == day)
    return ExistingDays(days, numbers) if numbers else days


def _every_days(name: str, days: int, weekday: int | None) -> Frequency:
    return Frequency(name, 0, days, weekday, None, days * 86_400.0)


def _refusal(name: str) -> str:
    unit = name.lstrip("0123456789")
    if unit in OLD_NAMES:
        return f"an old name: {OLD_NAMES[unit]}"
    if unit in (*ABSOLUTE, *FIXED_DAYS):
        return f"a multiple is 1 to 9999, without leading zeros: {unit}, 2{unit}"
    known = [*ABSOLUTE, *FIXED_DAYS, "B", *MONTHS, *(f"W-{day}" for day in WEEKDAYS)]
    meant = [new for new in known if new.lower() == unit.lower()]
    if meant:
        return f"names are case-sensitive: {meant[0]}"
    return f"unknown; the frequencies are {NAMES}"
