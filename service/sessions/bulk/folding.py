"""The ordinary rows of a batch: many sessions of one model, each advanced by the observations that follow its last one.

What a wave does for one observation of each session is done here by column, for several: stepped in turn, and
committed as one change of each session, with an outcome for each row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from service.sessions import drift, entries
from service.sessions.bulk.creation import Template
from service.sessions.bulk.encoding import Snapshots, change_writes, whole_records
from service.sessions.bulk.lines import Integers
from service.sessions.records import INCARNATION_BYTES
from service.sessions.registry import LoadedModel
from service.storage.answers import Label
from service.storage.checksums import seal
from service.storage.layout import NO_TIME, WINDOW, Bytes, HeadFlag, Structured, positions
from service.storage.record import Writes, live_of
from service.storage.store import Change, Kind

ROW = np.dtype([("incarnation", "u1", (8,)), ("revision", "<u8"), ("step", "<u8")])


@dataclass(frozen=True, slots=True)
class Advances:
    """Rows of a batch that follow each other and what their sessions hold: N rows of B sessions of one model.

    Args:
        template: what the sessions begin as, where they are to be created; None where they are there.
        lines: (B,) of the batch; `origins` (B,) the rows of the sessions among those that were read.
        labels: (B,), with grids that are anchored.
        owners: (N,) which of the sessions each row is of, in order; `numbers` (N,) of the rows in the batch.
        values: (N,) NaN = missing.
        instants: (N,) NO_TIME where steps are counted.
        ahead: (N,) how many steps each is after what its session holds; what lies between is imputed.
        tokens, digests: (N, 16) and (N, 8); a token is random where no key was sent.
        keyed: (B,) whether the last row has a key of its own.
    """

    loaded: LoadedModel
    template: Template | None
    lines: list[int]
    origins: Integers
    labels: list[Label]
    owners: Integers
    numbers: Integers
    values: entries.Doubles
    instants: Integers
    ahead: Integers
    tokens: Bytes
    digests: Bytes
    keyed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.lines)

    def some(self, chosen: NDArray[np.bool_]) -> "Advances":
        """Those of some (B,) of the sessions."""
        rows = chosen[self.owners]
        numbers = np.cumsum(chosen) - 1
        names = ("numbers", "values", "instants", "ahead", "tokens", "digests")
        columns = {name: getattr(self, name)[rows] for name in names}
        picked = np.flatnonzero(chosen).tolist()
        return replace(
            self,
            lines=[self.lines[number] for number in picked],
            origins=self.origins[chosen],
            labels=[self.labels[number] for number in picked],
            owners=numbers[self.owners[rows]],
            keyed=self.keyed[chosen],
            **columns,
        )


@dataclass(slots=True)
class Fold:
    """Advances, folded and encoded.

    Attributes:
        advances: those whose states stayed finite.
        changes: one of each session, to be committed.
        outcomes: (N,) the answers to the rows.
        live: (B,) heads and states.
        turns: of drift; their rows are the numbers of the sessions.
        refused: lines of which a state did not stay finite, so that they must be taken row by row.
    """

    advances: Advances
    changes: list[Change]
    outcomes: Structured
    live: Structured
    refused: list[int] = field(default_factory=list)
    turns: list[drift.Turn] = field(default_factory=list)

    def stored(self, numbers: Integers) -> Bytes:
        """The heads and states of these sessions, as they are stored but for the stamps."""
        live = self.live if len(numbers) == len(self.live) else self.live[numbers]
        return live.view(np.uint8).reshape(len(live), self.live.dtype.itemsize)


def fold(advances: Advances, read: Bytes, now_ms: int, randomness: Callable[[int], bytes]) -> Fold:
    """Fold and encode, in memory.

    Args:
        read: heads and states as read, which `Advances.origins` counts in.
        now_ms: the store's clock.
        randomness: that many random bytes.
    """
    if advances.template is None:
        live = live_of(read[advances.origins], advances.loaded.layout)
    else:
        live = _begun(advances, advances.template, now_ms, randomness)
    folding = _Folding(advances, live)
    if folding.finite.all():
        return folding.encoded()
    refused = [line for line, is_finite in zip(advances.lines, folding.finite.tolist(), strict=True) if not is_finite]
    sound = advances.some(folding.finite)
    if not len(sound):
        return Fold(sound, [], np.empty(0, advances.loaded.layout.outcome), live[:0], refused)
    whole = fold(sound, read, now_ms, randomness)
    whole.refused = refused
    return whole


def _begun(advances: Advances, template: Template, now_ms: int, randomness: Callable[[int], bytes]) -> Structured:
    """(B,) heads and states of sessions before their first observations."""
    count, layout = len(advances), advances.loaded.layout
    live: Structured = np.zeros(count, layout.live)
    live["head"], live["state"] = template.record.head, template.record.state
    heads = live["head"]
    heads["incarnation"] = np.frombuffer(randomness(INCARNATION_BYTES * count), np.uint8).reshape(count, -1)
    heads["created_ms"] = now_ms
    heads["anchor"] = advances.instants[np.flatnonzero(np.diff(advances.owners, prepend=-1))]
    return live


class _Folding:
    """Steps of B sessions, at most T of each.

    Attributes:
        finite: (B,) whether all states of a session stayed so.
    """

    def __init__(self, advances: Advances, live: Structured) -> None:
        self._advances, self._live = advances, live
        self._last = np.flatnonzero(np.diff(advances.owners, append=len(advances)))
        self._steps = advances.ahead[self._last]
        count, longest = len(advances), int(self._steps.max())
        self._values, self._imputed = np.full((count, longest), np.nan), np.ones((count, longest), bool)
        self._instants = np.full((count, longest), NO_TIME)
        sent = advances.owners, advances.ahead - 1
        self._values[sent], self._imputed[sent], self._instants[sent] = advances.values, False, advances.instants
        self._within = np.arange(longest) < self._steps[:, None]
        self._put_times_of_imputed()
        self._issued = np.empty((count, longest + 1, len(advances.loaded.stored)))
        self._seen = np.empty((count, longest + 1))
        self._alarms = np.empty((count, longest + 1, 2))
        self._snapshots: Snapshots = []
        self.finite = np.ones(count, bool)
        self._fold()

    def _put_times_of_imputed(self) -> None:
        owners, places = np.nonzero(self._imputed & self._within)
        for owner, place in zip(owners.tolist(), places.tolist(), strict=True):
            grid = self._advances.labels[owner].grid
            if grid is not None:
                before = self._instants[owner, place - 1] if place else self._live["head"]["last"][owner]
                self._instants[owner, place] = grid.next(int(before))

    def _fold(self) -> None:
        loaded, heads = self._advances.loaded, self._live["head"]
        order = np.argsort(-self._steps, kind="stable")  # those that go on are then the first ones
        states = np.ascontiguousarray(self._live["state"][order])
        values, calendar = self._values[order], self._calendar()[order]
        steps, bases = self._steps[order], heads["step"][order].astype(np.int64)
        histories = heads["history"][order].astype(np.int64)
        every = np.maximum(histories // 2, 1)
        self._issued[:, 0] = entries.issued(loaded, self._live["state"])
        self._seen[:, 0] = loaded.model.seen(self._live["state"])
        self._alarms[:, 0] = loaded.model.alarms(self._live["state"])
        running = loaded.model.running(states)
        for turn in range(values.shape[1]):
            active = int(np.searchsorted(-steps, -turn))
            if active < len(running):
                states[active : len(running)] = running.states(slice(active, None))
                running.keep(active)
            given = np.ascontiguousarray(values[:active, turn])
            quantiles = running.step(given, np.ascontiguousarray(calendar[:active, turn]))
            these = order[:active]
            self.finite[these] &= running.finite()
            before = self._seen[these, turn]
            seen = np.where((before > 0) | ~np.isnan(given), before + 1.0, 0.0)
            self._seen[these, turn + 1] = seen
            self._alarms[:, turn + 1] = self._alarms[:, turn]
            self._alarms[these, turn + 1] = running.alarms()
            self._issued[these, turn + 1] = np.where(seen[:, None] > 0, quantiles[:, loaded.stored], np.nan)
            due = np.flatnonzero(((bases[:active] + turn + 1) % every[:active] == 0) & (histories[:active] > 0))
            if len(due):
                snapshots = np.zeros(len(due), loaded.layout.snapshot)
                snapshots["step"], snapshots["state"] = bases[due] + turn + 1, running.states(due)
                self._snapshots.append((these[due], snapshots))
        states[: len(running)] = running.states()
        self._live["state"][order] = states

    def _calendar(self) -> NDArray[np.float32]:
        """(B, T, 5) features."""
        table: list[NDArray[np.float32]] = [entries.calendar(None, [NO_TIME])]
        index = np.zeros(self._values.shape, np.int64)
        zones: dict[str, list[int]] = {}
        for number, label in enumerate(self._advances.labels):
            if label.grid is not None:
                zones.setdefault(label.grid.timezone, []).append(number)
        for alike in zones.values():
            within = self._within[alike]
            instants = self._instants[alike]
            moments, places = np.unique(instants[within], return_inverse=True)
            rows, columns = np.nonzero(within)
            index[np.array(alike)[rows], columns] = places + sum(map(len, table))
            table.append(entries.calendar(self._advances.labels[alike[0]].grid, moments.tolist()))
        return np.concatenate(table)[index]

    def encoded(self) -> Fold:
        """The changes to commit, and the answers to the rows."""
        advances, loaded, live = self._advances, self._advances.loaded, self._live
        heads, owners = live["head"], advances.owners
        stood = positions(live.view(np.uint8).reshape(len(live), -1))
        told = entries.Bounds.of(heads).cut(self._issued)
        rows = self._moved(heads)
        slots = self._slots(heads, told, rows)
        turns = drift.turns(self._alarms, heads["step"].astype(np.int64)[:, None] + np.arange(self._alarms.shape[1]))
        places = (np.cumsum(self._steps) - self._steps)[owners] + advances.ahead - 1
        outcomes = entries.outcomes(
            loaded.layout,
            rows,
            slots.take(places),
            status=200,
            tokens=advances.tokens,
            digests=advances.digests,
            replayed=[0] * len(owners),
            times=self._times_after(),
            forecasts=told[owners, advances.ahead],
            warmed_up=self._seen[owners, advances.ahead] >= loaded.spec.warm_up,
        )
        self._move(heads, rows)
        of_slots = np.repeat(np.arange(len(advances)), self._steps)
        parts = (of_slots, slots), (owners, outcomes), self._snapshots
        if advances.template is None:
            writes = change_writes(live, loaded.layout, *parts)
        else:
            outcomes["status"][np.flatnonzero(np.diff(owners, prepend=-1))] = 201
            writes = whole_records(advances.template.record, live, *parts)
        return Fold(advances, self._changes(stood, writes), outcomes, live, turns=turns)

    def _moved(self, heads: Structured) -> Structured:
        """(N,) life, revision and step after each row."""
        owners = self._advances.owners
        rows = np.zeros(len(owners), ROW)
        nth = np.arange(len(owners)) - np.repeat(np.flatnonzero(np.diff(owners, prepend=-1)), np.bincount(owners)) + 1
        rows["incarnation"] = heads["incarnation"][owners]
        rows["revision"] = heads["revision"][owners] + nth.astype(np.uint64)
        rows["step"] = heads["step"][owners] + self._advances.ahead.astype(np.uint64)
        return rows

    def _slots(self, heads: Structured, told: entries.Doubles, rows: Structured) -> Structured:
        """(S,) of all steps, session by session."""
        owners, places = np.nonzero(self._within)
        imputed = self._imputed[owners, places]
        slots = entries.slots(
            self._advances.loaded.layout,
            steps=heads["step"][owners].astype(np.int64) + places + 1,
            instants=self._instants[owners, places].tolist(),
            values=self._values[owners, places].tolist(),
            imputed=imputed.tolist(),
            issued=told[owners, places],
        )
        of_row = np.cumsum(~imputed) - ~imputed  # what is imputed is answered with the row that follows it
        slots["revision"] = rows["revision"][of_row]
        slots["applied"] = ~imputed
        if imputed.any():
            behind = np.diff(self._advances.ahead, prepend=0)
            firsts = np.flatnonzero(np.diff(self._advances.owners, prepend=-1))
            behind[firsts] = self._advances.ahead[firsts]
            since = places + 1 - (self._advances.ahead - behind)[of_row]
            slots["imputed"] = since - ~imputed
        seal(slots)
        return slots

    def _times_after(self) -> list[int]:
        """(N,) the instants of the steps forecast for."""
        advances = self._advances
        grids = [label.grid for label in advances.labels]
        periods = np.array([0 if grid is None else grid.period for grid in grids])[advances.owners]
        times = np.where(periods > 0, advances.instants + periods, NO_TIME)
        for row in np.flatnonzero((periods == 0) & (advances.instants != NO_TIME)).tolist():
            times[row] = entries.time_after(grids[advances.owners[row]], int(advances.instants[row]))
        found: list[int] = times.tolist()
        return found

    def _move(self, heads: Structured, rows: Structured) -> None:
        """Heads as they are after the rows."""
        advances, last = self._advances, self._last
        heads["step"], heads["last"] = rows["step"][last], advances.instants[last]
        heads["revision"] = rows["revision"][last]
        kept = rows["revision"] + np.uint64(WINDOW) > heads["revision"][advances.owners]
        owners, index = advances.owners[kept], rows["revision"][kept] % np.uint64(WINDOW)
        heads["tokens"]["token"][owners, index] = advances.tokens[kept]
        heads["tokens"]["digest"][owners, index] = advances.digests[kept]

    def _changes(self, stood: list[bytes], writes: list[Writes]) -> list[Change]:
        advances, heads = self._advances, self._live["head"]
        is_new = advances.template is not None
        tokens, digests = (column[self._last].tobytes() for column in (advances.tokens, advances.digests))
        ttls: list[int] = heads["ttl_ms"].tolist()
        full: list[bool] = ((heads["flags"] & HeadFlag.FULL) != 0).tolist()
        kind = Kind.REPLACE if is_new else Kind.WRITE
        return [
            Change(
                label.session,
                tokens[16 * row : 16 * row + 16],
                digests[8 * row : 8 * row + 8],
                None if is_new else stood[row],
                kind,
                writes[row],
                ttls[row],
                full[row],
            )
            for row, label in enumerate(advances.labels)
        ]
