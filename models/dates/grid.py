"""The timestamps of a session: which ones its frequency has, which follows, how they are read and written.

Instants are integers, microseconds since 1970 UTC. Grids of D and longer follow the zone's calendar and wall clock,
shorter ones the absolute clock. A grid point whose wall clock is shown twice stands at the first of the two; one whose
wall clock is skipped stands as far after the jump as it was meant. A day that the zone never had has no point.
"""

import re
from datetime import date, datetime
from functools import lru_cache

from models.dates.frequencies import DAY, EPOCH_ORDINAL, SECOND, Days, Frequency, frequency
from models.dates.zones import EPOCH, FIRST, LAST, MICROSECOND, UTC_NAMES, Zone, zone

PATTERN = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2}|:[0-9]{2}:[0-9]{2})?)?)?"
)


EARLIEST, LATEST = ((datetime(year, 1, 1) - EPOCH) // MICROSECOND for year in (100, 2500))
"""Timestamps that are read: from any of them, grid and forecasts stay inside the years 1 to 9999."""


class TimestampError(ValueError):
    """Not a timestamp that can be read in this zone; the message says why, without repeating it."""


class Grid:
    """The timestamps of one session.

    Attributes:
        freq: name of the frequency, as `frequency` writes it.
        timezone: IANA name of the zone.
        anchor: an instant on the grid, which sets its phase; None before the first timestamp is known.
    """

    __slots__ = ("_days", "_frequency", "_origin", "_period", "_time_of_day", "_zone", "anchor", "freq", "timezone")

    def __init__(self, freq: str, timezone: str = "UTC", anchor: int | None = None) -> None:
        """Raises FrequencyError or ZoneError. `grid()` gives a shared instance."""
        self._zone: Zone = zone(timezone)
        self._frequency: Frequency = frequency(freq).without(self._zone.never)
        self.freq, self.timezone, self.anchor = self._frequency.name, timezone, anchor
        self._period = 0
        self._time_of_day = 0
        self._days: Days | None = None
        if anchor is not None:
            self._set_phase(anchor)

    def _set_phase(self, anchor: int) -> None:
        day, self._time_of_day = divmod(self._zone.wall(anchor), DAY)
        fixed_days = 0 if self._zone.fixed is None else self._frequency.days * DAY
        self._period = (
            self._frequency.absolute or fixed_days
        )  # where nothing shifts the clock, days are a fixed period too
        self._origin = anchor
        self._days = None if self._period else self._frequency.days_from(day)

    @property
    def period(self) -> int:
        """Microseconds from each point to the next where they are always the same, once the first is known; else 0."""
        return self._period

    @property
    def reading(self) -> tuple[str, bool]:
        """Grids of which this is the same read each text as the same instant."""
        return self.timezone, self._frequency.absolute > 0

    @property
    def longest_period_s(self) -> float:
        """Seconds of the longest period."""
        return self._frequency.longest_s

    @property
    def dates_only(self) -> bool:
        """Whether timestamps are written as dates alone: the grid is D or longer and sits at midnight."""
        return not self._frequency.absolute and self._time_of_day == 0

    def anchored(self, instant: int) -> "Grid":
        """The grid that begins at `instant`.

        Raises:
            TimestampError: the frequency has no such day; `nearest` has the closest.
        """
        if not self.is_on(instant):
            raise TimestampError(f"not a day of {self.freq}")
        return grid(self.freq, self.timezone, instant)

    def is_on(self, instant: int) -> bool:
        """Whether the instant is a grid point; before the first is known, whether it could be."""
        if self.anchor is None:
            return self._frequency.absolute > 0 or self._frequency.picks(self._zone.wall(instant) // DAY)
        return self._point(self._floor(instant)) == instant

    def nearest(self, instant: int) -> int:
        """The closest grid point; of two the earlier. Before the first is known, the closest that could be it."""
        if self.anchor is None:
            return (
                instant
                if self.is_on(instant)
                else grid(self.freq, self.timezone, self._picked_before(instant)).nearest(instant)
            )
        number = self._floor(instant)
        before, after = self._point(number), self._point(number + 1)
        return before if instant - before <= after - instant else after

    def next(self, instant: int) -> int:
        """The grid point after the one at `instant`."""
        return self.advance(instant, 1)

    def advance(self, instant: int, steps: int) -> int:
        """The grid point `steps` after the one at `instant` (before it, where negative).

        Raises:
            TimestampError: it would lie outside of the years 1 to 9999.
        """
        return self._point(self._floor(instant) + steps)

    def steps_between(self, earlier: int, later: int) -> int:
        """Grid points from one instant on the grid to another: 1 where the second follows the first."""
        return self._floor(later) - self._floor(earlier)

    def local(self, instant: int) -> datetime:
        """The instant on the zone's wall clock."""
        return self._zone.local(instant)

    def parse(self, text: str) -> int:
        """The instant that `text` names: an ISO 8601 date or date-time, read in the zone where it has no offset.

        Raises:
            TimestampError: it is none, or its local time occurs twice or never.
        """
        if len(text) == 10 and text[4] == text[7] == "-" and self._zone.fixed is not None:
            return _readable(_midnight(text) - self._zone.fixed)
        return self._parse(text)

    def _parse(self, text: str) -> int:
        matched = PATTERN.fullmatch(text)
        if matched is None:
            raise TimestampError("not an ISO 8601 date or date-time, such as 2026-11-21 or 2026-11-21T09:00:00+01:00")
        day, time, offset = matched.groups()
        wall = _wall(day, time)
        if offset is not None:
            return self._settled(_readable(wall - _offset(offset)))
        if time is None and not self._frequency.absolute:
            instant = self._zone.instant(_readable(wall))  # a date alone names its day, whatever its midnight
            if self._zone.wall(instant) - wall >= DAY:
                raise TimestampError(f"{self.timezone} never had this day: its clocks were set forward across it")
            return instant
        instants = self._zone.instants(_readable(wall))
        if len(instants) != 1:
            occurs = "twice" if instants else "never"
            raise TimestampError(f"this local time occurs {occurs} in {self.timezone}: add the offset")
        return instants[0]

    def _settled(self, instant: int) -> int:
        """Of two instants that one wall clock shows, the one where grid points stand."""
        if self._frequency.absolute or self._zone.fixed is not None:
            return instant
        first, *_ = self._zone.instants(self._zone.wall(instant))
        return first

    def format(self, instant: int) -> str:
        """The one written form: the date alone on grids of D or longer at midnight, else RFC 3339 with the offset."""
        if self.dates_only:
            return _date(self._zone.wall(instant) // DAY)
        written = self._zone.local(instant).isoformat()
        return written[:-6] + "Z" if self.timezone in UTC_NAMES else written

    def _floor(self, instant: int) -> int:
        """Number of the latest grid point that is not after the instant."""
        if self._period:
            return (instant - self._origin) // self._period
        assert self._days is not None, "a grid without anchor has no numbers"
        number = self._days.floor(self._zone.wall(instant) // DAY)
        # A time of day later than the instant's, or a wall clock set forward across midnight, is one day off.
        while self._point(number) > instant:
            number -= 1
        return number

    def _point(self, number: int) -> int:
        """The instant of the grid point with that number."""
        if self._period:
            instant = self._origin + number * self._period
        else:
            assert self._days is not None, "a grid without anchor has no numbers"
            try:
                day = self._days.day(number)
            except (ValueError, OverflowError):
                raise TimestampError("outside of the years 1 to 9999") from None
            instant = self._zone.instant(_inside(day * DAY + self._time_of_day))
        return _inside(instant)

    def _picked_before(self, instant: int) -> int:
        """The latest instant before this one at which a grid of this frequency could begin."""
        day, time_of_day = divmod(self._zone.wall(instant), DAY)
        while not self._frequency.picks(day):
            day -= 1
        return self._zone.instant(_inside(day * DAY + time_of_day))


@lru_cache(maxsize=8192)
def grid(freq: str, timezone: str = "UTC", anchor: int | None = None) -> Grid:
    """A shared Grid.

    Raises:
        FrequencyError, ZoneError: there is no such frequency or zone.
    """
    return Grid(freq, timezone, anchor)


@lru_cache(maxsize=4096)
def _midnight(text: str) -> int:
    """Where a clock without zone shows the beginning of a date."""
    try:
        return (date.fromisoformat(text).toordinal() - EPOCH_ORDINAL) * DAY
    except ValueError:
        raise TimestampError("not a date of the calendar") from None


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return date.fromordinal(day + EPOCH_ORDINAL).isoformat()


def _inside(instant: int) -> int:
    if not FIRST <= instant <= LAST:
        raise TimestampError("outside of the years 1 to 9999")
    return instant


def _readable(instant: int) -> int:
    if not EARLIEST <= instant < LATEST:
        raise TimestampError("must lie in the years 100 to 2499")
    return instant


def _wall(day: str, time: str | None) -> int:
    """Microseconds that a clock without zone shows."""
    clock, _, fraction = (time or "00:00").replace(",", ".").partition(".")
    if fraction[6:].strip("0"):
        raise TimestampError("finer than a microsecond")
    try:
        shown = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError:
        raise TimestampError("not a date and time of the calendar") from None
    return (shown - EPOCH) // MICROSECOND + int(fraction[:6].ljust(6, "0"))


def _offset(text: str) -> int:
    """Microseconds east of UTC of Z, +02, +0200, +02:00, or +00:19:32 as zones had before they were rounded."""
    if text in "Zz":
        return 0
    digits = text[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise TimestampError("an offset lies between -23:59 and +23:59")
    return (hours * 3600 + minutes * 60 + seconds) * SECOND * (-1 if text[0] == "-" else 1)
