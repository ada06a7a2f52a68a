"""How the steps of a session are told, in plain Python: the kinds of series that the stateful test is run on."""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo

Settings = dict[str, object]


class Times:
    """A way of telling steps. A place is the number of a step on the session's grid, from 0 on."""

    least = -inf
    """The first place that can be told at all."""

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """Those that a session of this kind is created with."""

    @abstractmethod
    def local(self, place: int) -> datetime | None:
        """The local time of a place; None where steps are counted."""

    @abstractmethod
    def written(self, place: int) -> str:
        """As a session writes it."""

    @abstractmethod
    def off_grid(self, place: int) -> str | None:
        """A time beside the grid, near a place; None where there is none."""

    def told(self, place: int) -> Settings:
        """What of an observation says which step it is."""
        return {"timestamp": self.written(place)}

    def start(self, place: int) -> int:
        """The place of step 1, where the first observation that was sent has this place."""
        return place

    def bare(self, place: int) -> Settings:
        """What an observation of the next place needs at least to be taken up."""
        return self.told(place)

    def shown(self, place: int) -> str | None:
        """As a Record shows it."""
        return self.written(place)


@dataclass(frozen=True)
class Dates(Times):
    """Days that lie `apart` days from one another, of Monday to Friday only where `business`, in any zone."""

    freq: str
    first: date
    apart: int = 1
    business: bool = False
    timezone: str = "UTC"

    @property
    def settings(self) -> Settings:
        return {"freq": self.freq, "timezone": self.timezone}

    def day(self, place: int) -> date:
        if not self.business:
            return self.first + timedelta(days=self.apart * place)
        weeks, days = divmod(self.first.weekday() + place, 5)
        return self.first + timedelta(days=7 * weeks + days - self.first.weekday())

    def local(self, place: int) -> datetime:
        return datetime.combine(self.day(place), datetime.min.time(), ZoneInfo(self.timezone))

    def written(self, place: int) -> str:
        return self.day(place).isoformat()

    def off_grid(self, place: int) -> str | None:
        beside = self.day(place) + timedelta(days=1)
        while beside in (self.day(place + 1), self.day(place + 2)) or (self.business and beside.weekday() < 5):
            if self.apart == 1 and not self.business:
                return f"{self.day(place)}T11:00:00"
            beside += timedelta(days=1)
        return beside.isoformat()


@dataclass(frozen=True)
class Hours(Times):
    """Hours of the absolute clock, written in a zone that sets its own forward and back.

    Args:
        first: on the zone's clock.
    """

    first: datetime
    timezone: str

    @property
    def settings(self) -> Settings:
        return {"freq": "h", "timezone": self.timezone}

    def local(self, place: int) -> datetime:
        return self._after(timedelta(hours=place))

    def written(self, place: int) -> str:
        return self.local(place).isoformat()

    def off_grid(self, place: int) -> str:
        return self._after(timedelta(hours=place, minutes=30)).isoformat()

    def _after(self, absolute: timedelta) -> datetime:
        begun = self.first.replace(tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)
        return (begun + absolute).astimezone(ZoneInfo(self.timezone))


class Steps(Times):
    """No timestamps: places are steps less one."""

    least = 0

    @property
    def settings(self) -> Settings:
        return {"freq": None}

    def local(self, place: int) -> None:
        return None

    def written(self, place: int) -> str:
        return str(place + 1)

    def off_grid(self, place: int) -> None:
        return None

    def told(self, place: int) -> Settings:
        return {"step": place + 1}

    def start(self, place: int) -> int:
        return 0

    def bare(self, place: int) -> Settings:
        return {}

    def shown(self, place: int) -> None:
        return None


KINDS: dict[str, Times] = {
    "daily": Dates("D", date(2026, 1, 1)),
    "daily, where the clock is set forward": Dates("D", date(2026, 3, 20), timezone="Europe/Berlin"),
    "hourly, where the clock is set forward": Hours(datetime(2026, 3, 28, 18), "Europe/Berlin"),
    "hourly, where the clock is set back": Hours(datetime(2026, 10, 24, 18), "Europe/Berlin"),
    "hourly, where it is set back by half an hour": Hours(datetime(2026, 4, 4, 18), "Australia/Lord_Howe"),
    "weekly": Dates("W", date(2026, 1, 1), apart=7),
    "business days": Dates("B", date(2026, 1, 1), business=True),
    "counted": Steps(),
}
