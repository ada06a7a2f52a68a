"""A backfill from a file: its series, put together whole, folded straight into a store."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hiddenstate.files.failures import Failures, Refused
from hiddenstate.files.tables import Part, SeriesFile
from hiddenstate.files.unreadable import TableError
from service.app import roots
from service.listing.index import SessionIndex
from service.sessions.bulk.backfill import TOGETHER, Backfill, Fate, Fates
from service.sessions.creation import Creator
from service.sessions.histories import Histories
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.store import SessionStore
from service.wire.problems import ServiceError
from service.wire.schemas import SessionSettings

SERIES_AT_ONCE = 2 * TOGETHER
ROWS_AT_ONCE = 2**19
STORE_TIMEOUT_S = 30.0
"""Longer than a service's: nobody waits for a single answer."""


@dataclass(slots=True)
class Filled:
    """How many series were created, were there with this history already, and were refused."""

    created: int = 0
    there: int = 0
    refused: int = 0

    def count(self, fates: Fates) -> None:
        self.created += fates.count(Fate.CREATED)
        self.there += fates.count(Fate.THERE)
        self.refused += sum(isinstance(fate, ServiceError) for fate in fates)


async def fill(
    file: SeriesFile,
    settings: Settings,
    asked: SessionSettings,
    *,
    prefix: str,
    failures: Failures,
    done: Callable[[int], None],
) -> Filled:
    """Fold every series of the file into the store of the settings.

    Args:
        prefix: put before each unique_id.
        done: is told numbers of rows that were worked off.
    Raises:
        TableError: the file cannot be used; nothing was stored yet.
        ServiceError: no such model, or settings that cannot be.
        StoreUnavailable: it does not answer.
    """
    require_together(file)
    assert settings.store_url is not None, "the caller has asked for one"
    registry = Registry.load(roots(settings), settings.default_model)
    timeout_s = max(settings.store_timeout_s, STORE_TIMEOUT_S)
    connection = SessionStore.open(
        settings.store_url, namespace=settings.namespace, timeout_s=timeout_s, demand=settings.demand
    )
    filled = Filled()
    async with connection as store:
        await store.status()  # it is not waited for where nobody answers
        filling = Backfill(
            store,
            Creator(registry, settings),
            asked,
            dated=file.is_dated,
            gap_limit=settings.warm_up_gap_limit,
            created=SessionIndex(store).note,
            randomness=os.urandom,
        )
        _require_values_alone(file, filling)
        results: AsyncIterator[tuple[Histories, Fates]] = filling.run(histories(file, prefix))
        async for part, fates in results:
            filled.count(fates)
            failures.add(_refused(part, fates, prefix))
            done(len(part.values))
    return filled


def _require_values_alone(file: SeriesFile, filling: Backfill) -> None:
    """Raises TableError: the file has covariates that the model takes: sessions are to know them."""
    taken = [name for name in file.covariates if name in filling.covariates.names]
    if taken:
        raise TableError(
            f"{file.path}: the model {filling.model} takes {', '.join(taken)}, and a backfill folds values alone; "
            "use hiddenstate push, which sends them, or take these columns out of the file"
        )


def _refused(part: Histories, fates: Fates, prefix: str) -> Iterator[Refused]:
    for series, fate in enumerate(fates):
        if isinstance(fate, ServiceError):
            name = part.sessions[series].removeprefix(prefix)
            for one in part.observations(series):
                at = one.step if one.timestamp is None else one.timestamp
                yield Refused(name, at or 0, one.value, (), fate.slug, fate.detail)


def require_together(file: SeriesFile) -> None:
    """Read the file once through: a series that comes in two pieces would be stored half.

    Raises:
        TableError: it does; or a value is not of its column's type.
    """
    seen: set[str] = set()
    last = ""
    for part in file.parts():
        for name in _runs(part):
            if name != last and name in seen:
                raise TableError(
                    f"{file.path}: the rows of series {name!r} do not stand together; sort the file by unique_id and ds"
                )
            seen.add(name)
            last = name


def histories(file: SeriesFile, prefix: str) -> Iterator[Histories]:
    """The series of a file, whole, so many at once that folding them together pays."""
    gathered = _Gathered()
    for part in file.parts():
        gathered.add(part)
        while len(gathered.names) > SERIES_AT_ONCE or (gathered.rows > ROWS_AT_ONCE and len(gathered.names) > 1):
            whole, gathered = gathered.split(min(SERIES_AT_ONCE, len(gathered.names) - 1))
            yield whole.histories(prefix)
    if gathered.names:
        yield gathered.histories(prefix)


def _runs(part: Part) -> list[str]:
    """The series of a part, each as often as its rows are interrupted by others."""
    return [part.names[code] for code in part.codes[np.flatnonzero(np.diff(part.codes, prepend=-1))].tolist()]


@dataclass(slots=True)
class _Gathered:
    """Series of which the last one may go on."""

    names: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    values: list["np.typing.NDArray[np.float64]"] = field(default_factory=list)
    where: list["np.typing.NDArray[np.int64]"] = field(default_factory=list)
    moments: list[str] | None = None

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def add(self, part: Part) -> None:
        """The rows that follow in the file."""
        cuts = [*np.flatnonzero(np.diff(part.codes, prepend=-1)).tolist(), len(part)]
        for name, (begin, end) in zip(_runs(part), pairwise(cuts), strict=True):
            if self.names and self.names[-1] == name:
                self.counts[-1] += end - begin
            else:
                self.names.append(name)
                self.counts.append(end - begin)
        self.values.append(part.values)
        known = 0 if self.moments is None else len(self.moments)
        self.where.append(part.where + known)
        if part.moments is not None:
            self.moments = [*(self.moments or ()), *part.moments]

    def split(self, count: int) -> tuple["_Gathered", "_Gathered"]:
        """The first series, and the others."""
        values, where, cut = np.concatenate(self.values), np.concatenate(self.where), sum(self.counts[:count])
        whole = _Gathered(self.names[:count], self.counts[:count], [values[:cut]], [where[:cut]], self.moments)
        rest, moments = where[cut:], self.moments
        if moments is not None:
            kept, rest = np.unique(rest, return_inverse=True)
            moments = [moments[index] for index in kept.tolist()]
        return whole, _Gathered(self.names[count:], self.counts[count:], [values[cut:]], [rest], moments)

    def histories(self, prefix: str) -> Histories:
        return Histories(
            [prefix + name for name in self.names],
            np.cumsum(self.counts),
            np.concatenate(self.values),
            np.concatenate(self.where),
            self.moments,
        )
