"""Time zones as integer arithmetic: instants and wall clocks in microseconds since 1970."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
DAY = 86_400 * SECOND
UTC_NAMES = frozenset({"UTC", "UCT", "Zulu", "Universal", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal"})
HOST_NAMES = frozenset({"localtime", "posixrules"})
"""Entries of a host's zone folder that mean something else on the next host."""
EPOCH = datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=UTC)
FIRST = (datetime.min - EPOCH) // MICROSECOND + DAY
LAST = (datetime.max - EPOCH) // MICROSECOND - DAY
"""Instants with a wall clock inside the years 1 to 9999 in every zone."""
NEW_YEARS = [(datetime(year, 1, 1) - EPOCH) // MICROSECOND for year in range(1800, 2101)]
"""Instants between which places may have changed sides of the date line, and stayed there for years."""


class ZoneError(ValueError):
    """Not the name of an IANA time zone."""


class Zone:
    """An IANA time zone. Instants are microseconds since 1970 UTC; walls are the same count on the zone's own clock."""

    __slots__ = ("fixed", "info", "name", "never")

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: tzinfo = UTC if name in UTC_NAMES else _info(name)
        offset = self.info.utcoffset(None)
        self.fixed = None if offset is None else offset // MICROSECOND
        """Offset from UTC of a zone that never changes it, None for one that does."""
        self.never = _never(self.info) if self.fixed is None else ()
        """The days, counted since 1970, that the zone never had: its clocks were set forward across them."""

    def local(self, instant: int) -> datetime:
        return (EPOCH_UTC + timedelta(microseconds=instant)).astimezone(self.info)

    def wall(self, instant: int) -> int:
        if self.fixed is not None:
            return instant + self.fixed
        return _wall(self.info, instant)

    def instant(self, wall: int) -> int:
        """The first instant at which the zone's clock shows `wall`; where it never does, as far after the jump."""
        if self.fixed is not None:
            return wall - self.fixed
        return _instant(self.info, wall, fold=0)

    def instants(self, wall: int) -> list[int]:
        """All instants at which the zone's clock shows `wall`: one, none where it is set forward, two where back."""
        if self.fixed is not None:
            return [wall - self.fixed]
        candidates = {_instant(self.info, wall, fold) for fold in (0, 1)}
        return sorted(candidate for candidate in candidates if self.wall(candidate) == wall)


# Many sessions stand at the same few times, and each question to a zone costs some microseconds.
@lru_cache(maxsize=8192)
def _wall(info: tzinfo, instant: int) -> int:
    shown = (EPOCH_UTC + timedelta(microseconds=instant)).astimezone(info)
    return (shown.replace(tzinfo=None) - EPOCH) // MICROSECOND


@lru_cache(maxsize=8192)
def _instant(info: tzinfo, wall: int, fold: int) -> int:
    shown = (EPOCH + timedelta(microseconds=wall)).replace(tzinfo=info, fold=fold)
    return (shown - EPOCH_UTC) // MICROSECOND


def _never(info: tzinfo) -> tuple[int, ...]:
    offsets = [_wall(info, instant) - instant for instant in NEW_YEARS]
    years = zip(pairwise(NEW_YEARS), pairwise(offsets), strict=True)
    crossed = [year for year, (before, after) in years if after - before > DAY / 2]
    days = (day for first, last in crossed for day in range(first // DAY - 1, last // DAY + 1))
    return tuple(day for day in days if _wall(info, _instant(info, day * DAY, fold=0)) >= (day + 1) * DAY)


def _info(name: str) -> ZoneInfo:
    try:
        if name in HOST_NAMES:
            raise ValueError
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path or a control character in it; a folder of names
        raise ZoneError("not an IANA time zone name, such as UTC, Europe/Berlin or Etc/GMT+5") from None


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """The zone of that name, built once.

    Raises:
        ZoneError: there is no such zone.
    """
    return Zone(name)
