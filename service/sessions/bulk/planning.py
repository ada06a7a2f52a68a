"""Which rows of a batch are ordinary: they follow what their session holds, and nothing about them needs its history.

What a session holds may come from the cache; the commit then tells whether that was still so, and whatever is not
ordinary is decided by what is stored. A session that is not there, and is to be created, holds nothing yet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.dates.grid import Grid
from service.live.log import EventLog
from service.monitoring.monitor import Monitor
from service.sessions import entries
from service.sessions.bulk import lines as bulk_lines
from service.sessions.bulk import times as bulk_times
from service.sessions.bulk.creation import Templates
from service.sessions.bulk.folding import Advances
from service.sessions.bulk.known import Recalling
from service.sessions.bulk.lines import TOKEN_BYTES, Asked, Integers, Keys, Lines
from service.sessions.bulk.times import Times
from service.sessions.creation import Creator
from service.sessions.demands import differing
from service.sessions.places import Places
from service.sessions.records import Committed
from service.sessions.registry import LoadedModel, Registry
from service.sessions.waves.cache import StateCache
from service.sessions.waves.waves import Waves
from service.sessions.work import Reply, Work
from service.settings import Settings
from service.storage.answers import Label
from service.storage.layout import HEAD_BYTES, NO_TIME, Bytes, Structured, position
from service.storage.record import find_damage, heads_of
from service.storage.store import Found, SessionStore
from service.wire.batch.rows import Rows
from service.wire.problems import ServiceError, StoreUnavailable
from service.wire.session_problems import RecordDamaged, SessionNotFound

ROWS_OF_A_SESSION = 32
"""Rows of one session in one commit."""
STEPS_OF_A_SESSION = 64
"""Steps of one session in one commit, those that are imputed among them; longer gaps are folded beside the waves."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What batches work with.

    Args:
        randomness: that many random bytes.
        monitor: is told what becomes of rows.
    """

    store: SessionStore
    cache: StateCache
    registry: Registry
    creator: Creator
    waves: Waves[Work, Reply]
    settings: Settings
    randomness: Callable[[int], bytes]
    committed: Committed
    log: EventLog
    monitor: Monitor

    @property
    def foreseen(self) -> int:
        """Rows to look at for what they tell of the steps after one before them: enough, if few of them repeat one."""
        return 2 * self.registry.foreseen


@dataclass(frozen=True, slots=True)
class Read:
    """Sessions and what is known of them, of the first `cached` from the cache: their commit tells whether it holds.

    Args:
        rows: (B, >= live_bytes) heads and states.
        found: (B,) of `Found`.
        damaged: by row, what is wrong.
        now_ms: the store's clock, where it was asked.
    """

    lines: list[int]
    cached: int
    rows: Bytes
    found: NDArray[np.uint8]
    damaged: dict[int, str]
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to become of sessions: what is folded, what is no ordinary case, what is refused as a whole."""

    advances: list[Advances] = field(default_factory=list)
    unusual: list[int] = field(default_factory=list)
    refused: list[tuple[int, ServiceError]] = field(default_factory=list)


@dataclass(slots=True)
class _Standing:
    """Sessions whose next rows may be ordinary: where each stands.

    Attributes:
        read: row of each among those that were read.
        models: of each; `labels`, with grids that are anchored.
        steps, lasts: step and instant of the last observation; before the first, where it would have been.
        gaps: most steps that are imputed at once.
        fresh: by number, the template of a session to create.
    """

    read: list[int] = field(default_factory=list)
    models: list[LoadedModel] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    fresh: list[bool | None] = field(default_factory=list)

    def add(
        self, read: int, model: LoadedModel, label: Label, step: int, last: int, gap: int, fresh: bool | None = None
    ) -> None:
        self.read.append(read)
        self.models.append(model)
        self.labels.append(label)
        self.steps.append(step)
        self.lasts.append(last)
        self.gaps.append(gap)
        self.fresh.append(fresh)


class Planner:
    """Reads the sessions of some rows, and plans what is ordinary."""

    def __init__(self, parts: Parts, rows: Rows, asked: Asked) -> None:
        self._parts = parts
        self._rows = rows
        self._asked = asked
        self._times = Times(rows.texts)
        self._keys = Keys.of(rows)
        self._templates = Templates(parts.creator, asked.creation)
        self.lines = Lines(rows, asked, parts.foreseen)
        self.recalling = Recalling(self.lines, self._keys, self._times)

    async def read(self, lines: Sequence[int]) -> Read:
        """Heads and states: what is cached, and of the others what the store holds."""
        parts, cache, names = self._parts, self._parts.cache, self.lines.names
        cached = [line for line in lines if names[line] in cache] if cache.is_trusted else []
        rows = cache.rows([names[line] for line in cached])
        found = np.full(len(cached), Found.PRESENT, np.uint8)
        if len(cached) == len(lines):
            return Read(cached, len(cached), rows, found, {})
        others = [line for line in lines if names[line] not in cache] if cached else list(lines)
        reading = await parts.store.read([names[line] for line in others], parts.registry.live_bytes)
        damaged = {row + len(cached): reason for row, reason in find_damage(reading.rows).items()}
        rows = np.concatenate([rows, reading.rows]) if cached else reading.rows
        found = np.concatenate([found, reading.found])
        return Read([*cached, *others], len(cached), rows, found, damaged, reading.now_ms)

    def planned(self, read: Read) -> Planned:
        """What is to be done with the next rows of each session."""
        planned, standing = Planned(), _Standing()
        heads = heads_of(read.rows)
        self._place(read, heads, planned, standing)
        numbers, owners, instants, ahead = self._ordinary(read, heads, standing)
        taken = np.bincount(owners, minlength=len(standing.read))
        for number in np.flatnonzero(taken == 0).tolist():
            self._put_aside(read, standing.read[number], planned)
        starts = np.cumsum(taken) - taken
        kinds: dict[tuple[LoadedModel, bool | None], list[int]] = {}
        for number in np.flatnonzero(taken).tolist():
            kinds.setdefault((standing.models[number], standing.fresh[number]), []).append(number)
        for (loaded, fresh), group in kinds.items():
            counts = taken[group]
            places = np.repeat(starts[group] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
            rows = numbers[places], instants[places], ahead[places]
            planned.advances.append(self._advances(read, standing, loaded, fresh, group, counts, rows))
        return planned

    def _put_aside(self, read: Read, row: int, planned: Planned) -> None:
        line = read.lines[row]
        if read.found[row] == Found.PRESENT:
            self.lines.seen[line] = position(read.rows[row, :HEAD_BYTES].tobytes())
        planned.unusual.append(line)

    def _place(self, read: Read, heads: Structured, planned: Planned, standing: _Standing) -> None:
        """Sort out the sessions of which no row can be ordinary; tell where the others stand."""
        places = Places([self.lines.names[line] for line in read.lines], heads)
        unsound: dict[LoadedModel, NDArray[np.bool_]] = {}
        rejects, limits = heads["gaps"].tolist(), heads["max_gap"].tolist()
        for row, (line, found) in enumerate(zip(read.lines, read.found.tolist(), strict=True)):
            if found == Found.UNAVAILABLE:
                planned.refused.append((line, StoreUnavailable("the store did not answer; nothing was changed")))
            elif found == Found.ABSENT:
                self._place_new(line, row, planned, standing)
            else:
                try:
                    loaded = places.sound_model(row, self._parts.registry, read.damaged)
                    if row >= read.cached:  # those that are cached were written by this process
                        if loaded not in unsound:
                            unsound[loaded] = entries.find_unsound(loaded, read.rows)
                        if unsound[loaded][row]:
                            raise RecordDamaged(self.lines.names[line])
                except ServiceError as refused:
                    planned.refused.append((line, refused))
                    continue
                label, step = places.label(row), places.steps[row]
                apart = places.requires_match[row] or loaded.takes_covariates
                if not step or apart or differing(label, self._asked.creation):
                    self._put_aside(read, row, planned)
                else:
                    standing.add(row, loaded, label, step, places.lasts[row], 0 if rejects[row] else limits[row])

    def _place_new(self, line: int, row: int, planned: Planned, standing: _Standing) -> None:
        """A session that is not there: its first row decides how it begins."""
        if self._asked.creation is None:
            planned.refused.append((line, SessionNotFound(self.lines.names[line])))
            return
        time = self._rows.times[self.lines.next_row(line)]
        template = self._templates.of(dated=bool(time >= 0))
        begun = None if template is None else template.begun(self._times, time)
        if template is None or begun is None:
            planned.unusual.append(line)
            return
        label = Label(self.lines.names[line], template.loaded.spec.label, begun.grid)
        standing.add(row, template.loaded, label, 0, begun.before, template.max_gap, begun.grid is not None)

    def _ordinary(
        self, read: Read, heads: Structured, standing: _Standing
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """The rows that follow what their sessions hold.

        Returns:
            (n,) their numbers in the batch, the number of the session of each among those that stand, their instants,
            and how many steps each is after the last one that the session holds.
        """
        lines = np.array([read.lines[row] for row in standing.read], np.int64)
        numbers, owners = self.lines.first(lines, ROWS_OF_A_SESSION)
        if not len(numbers):
            return numbers, owners, numbers, numbers
        instants, ahead = self._ahead(standing, numbers, owners)
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        gaps = np.diff(ahead, prepend=0) - 1
        gaps[starts] = ahead[starts] - 1
        odd = self.lines.special[numbers] | (ahead < 1) | (ahead > STEPS_OF_A_SESSION)
        odd |= (gaps < 0) | (gaps > np.array(standing.gaps)[owners])
        odd |= self._known(read, heads, standing, numbers, owners)
        before = np.cumsum(odd)
        first: Integers = np.repeat(before[starts] - odd[starts], np.diff(starts, append=len(owners)))
        ordinary = before == first
        return numbers[ordinary], owners[ordinary], instants[ordinary], ahead[ordinary]

    def _ahead(self, standing: _Standing, numbers: Integers, owners: Integers) -> tuple[Integers, Integers]:
        """(n,) instants, and how many steps each row is after what its session holds; 0 where that cannot be told."""
        grids = [label.grid for label in standing.labels]
        times, steps = self._rows.times[numbers], self._rows.steps[numbers]
        instants = np.full(len(numbers), NO_TIME)
        for grid, alike in _read_alike(grids).items():
            of_these = np.isin(owners, alike)
            instants[of_these] = self._times.instants(grid, times[of_these])
        dated = np.array([grid is not None for grid in grids])[owners]
        by_time = bulk_times.ahead(grids, owners, np.array(standing.lasts), instants)
        by_step = _counted(steps, np.array(standing.steps)[owners], owners)
        return instants, np.where(dated, by_time, np.where(times >= 0, 0, by_step))

    def _known(
        self, read: Read, heads: Structured, standing: _Standing, numbers: Integers, owners: Integers
    ) -> NDArray[np.bool_]:
        """(n,) whether a row's key is among those of its session's last outcomes, or of a row before it."""
        keys = self._keys
        known: NDArray[np.bool_] = keys.again[numbers].copy()
        keyed = np.flatnonzero(keys.sent[numbers])
        if len(keyed):
            windows = np.ascontiguousarray(heads["tokens"]["token"][standing.read]).view(np.uint64)
            tokens = np.ascontiguousarray(keys.tokens[numbers[keyed]]).view(np.uint64)
            known[keyed] |= (windows[owners[keyed]] == tokens[:, None, :]).all(axis=2).any(axis=1)
        return known

    def _advances(
        self,
        read: Read,
        standing: _Standing,
        loaded: LoadedModel,
        fresh: bool | None,
        group: list[int],
        counts: Integers,
        taken: tuple[Integers, Integers, Integers],
    ) -> Advances:
        numbers, instants, ahead = taken
        keyed = self._keys.sent[numbers]
        random = np.frombuffer(self._parts.randomness(TOKEN_BYTES * len(numbers)), np.uint8)
        tokens = np.where(keyed[:, None], self._keys.tokens[numbers], random.reshape(-1, TOKEN_BYTES))
        rows = [standing.read[number] for number in group]
        return Advances(
            loaded=loaded,
            template=None if fresh is None else self._templates.of(dated=fresh),
            lines=[read.lines[row] for row in rows],
            origins=np.array(rows),
            labels=[standing.labels[number] for number in group],
            owners=np.repeat(np.arange(len(group)), counts),
            numbers=numbers,
            values=self._rows.values[numbers],
            instants=instants,
            ahead=ahead,
            tokens=tokens,
            digests=bulk_lines.digests(
                self._rows, numbers.tolist(), self._keys.sent, correcting=self._asked.correcting
            ),
            keyed=keyed[np.cumsum(counts) - 1],
        )


def _read_alike(grids: Sequence[Grid | None]) -> dict[Grid, list[int]]:
    """By one of the grids that read texts alike, the numbers of them all."""
    kinds: dict[tuple[str, bool], list[int]] = {}
    for number, grid in enumerate(grids):
        if grid is not None:
            kinds.setdefault(grid.reading, []).append(number)
    return {grid: alike for alike in kinds.values() if (grid := grids[alike[0]]) is not None}


def _counted(steps: Integers, bases: Integers, owners: Integers) -> Integers:
    """(n,) how many steps each row is after what its session holds, where a row without a step is the one that follows.

    Args:
        steps: (n,) as sent, 0 = none.
        bases: (n,) the step that the session of each row holds.
    """
    places = np.arange(len(steps))
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    first: Integers = np.repeat(starts, np.diff(starts, append=len(steps)))
    sent = np.maximum.accumulate(np.where(steps > 0, places, -1))  # the last row so far that has a step
    own = sent >= first
    return np.where(own, steps[sent] - bases[np.maximum(sent, 0)] + places - sent, places - first + 1)
