"""The part of a wave that one model folds: stepped, encoded, and, once committed, answered."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from service.live.log import EventLog
from service.sessions import drift, entries
from service.sessions.places import Stand
from service.sessions.registry import LoadedModel
from service.sessions.rules import Plan
from service.sessions.waves.waiting import Entry
from service.sessions.work import Observe, Reply
from service.storage.answers import Answer, Label, read_answers
from service.storage.layout import Bytes, HeadFlag, Structured, positions
from service.storage.record import Writes, bump, live_of, wave_writes
from service.storage.store import Change, Kind, Outcome
from service.wire import render
from service.wire.problems import DeadlineExceeded, DurabilityUnconfirmed, StoreUnavailable

Waiting = Entry[Observe, Reply]
COMMITTED = (Outcome.APPLIED, Outcome.REPLAYED, Outcome.UNCONFIRMED)
"""What has become of a change that is in the store."""


def having_seen(entry: Waiting, stood: bytes) -> Waiting:
    """What is read again must not stand before what was read of it."""
    entry.work = replace(entry.work, seen=stood)
    return entry


class Planned(msgspec.Struct, eq=False):
    """A request whose steps are known, and its session's row in the wave."""

    row: int
    entry: Waiting
    plan: Plan


class Stepped:
    """The sessions of one model in a wave: folded, encoded, and, once committed, answered.

    Attributes:
        committed: the answers to all that was committed, once it is settled.
        not_finite: those whose states did not stay so; by themselves it is found out from which value on.
    """

    def __init__(
        self, loaded: LoadedModel, planned: Sequence[Planned], rows: Bytes, randomness: Callable[[int], bytes]
    ) -> None:
        self._loaded = loaded
        if len(planned) < len(rows):
            rows = rows.take([one.row for one in planned], axis=0)
        self._live = live_of(rows, loaded.layout)
        self._planned = planned
        self.committed: list[tuple[Label, Answer]] = []
        self._slots: list[tuple[NDArray[np.int64], Structured]] = []
        self._snapshots: list[tuple[NDArray[np.int64], Structured]] = []
        self.not_finite: list[Planned] = []
        self._fold()
        self._drop_what_is_not_finite()
        self.changes = self._encode(randomness) if self._planned else []

    def _fold(self) -> None:
        """Step all sessions together, as often as the longest of their plans has steps."""
        heads, states, loaded = self._live["head"], self._live["state"], self._loaded
        plans = [one.plan for one in self._planned]
        steps = np.array([len(plan.values) for plan in plans])
        bases = heads["step"].astype(np.int64)
        every = np.maximum(heads["history"].astype(np.int64) // 2, 1)
        bounds = entries.Bounds.of(heads)
        longest = int(steps.max())
        self._bases, self._alarms = bases, np.empty((len(plans), longest + 1, 2))
        self._alarms[:, 0] = loaded.model.alarms(states)
        for turn in range(longest):
            active = np.flatnonzero(steps > turn)
            everyone = len(active) == len(plans)
            chosen = slice(None) if everyone else active  # which makes views of the arrays, and no copies
            ones = plans if everyone else [plans[row] for row in active.tolist()]
            values = [plan.values[turn] for plan in ones]
            instants = [plan.instants[turn] for plan in ones]
            before, numbers = states[chosen], None
            if loaded.takes_covariates:
                numbers = np.array([plan.covariates[turn] for plan in ones])
            slots = entries.slots(
                loaded.layout,
                steps=bases[chosen] + turn + 1,
                instants=instants,
                values=values,
                imputed=[plan.imputed[turn] for plan in ones],
                issued=bounds.rows(chosen).cut(entries.issued(loaded, before)),
                covariates=numbers,
            )
            features = entries.calendars([plan.label.grid for plan in ones], instants)
            if numbers is not None:
                features = entries.with_covariates(loaded, features, numbers)
            stepped, _ = loaded.model.step(before, np.array(values), features)
            states[chosen] = stepped
            self._alarms[:, turn + 1] = self._alarms[:, turn]
            self._alarms[chosen, turn + 1] = loaded.model.alarms(stepped)
            self._slots.append((active, slots))
            due = active[(bases[chosen] + turn + 1) % every[chosen] == 0]
            if len(due):
                snapshots = np.zeros(len(due), loaded.layout.snapshot)
                snapshots["step"], snapshots["state"] = bases[due] + turn + 1, states[due]
                self._snapshots.append((due, snapshots))

    def _drop_what_is_not_finite(self) -> None:
        finite = self._loaded.model.finite(self._live["state"])
        if finite.all():
            return
        self.not_finite = [self._planned[row] for row in np.flatnonzero(~finite).tolist()]
        self._live, self._bases, self._alarms = self._live[finite], self._bases[finite], self._alarms[finite]
        self._planned = [one for one, sound in zip(self._planned, finite.tolist(), strict=True) if sound]
        numbers = np.cumsum(finite) - 1
        for parts in (self._slots, self._snapshots):
            parts[:] = [(numbers[rows[finite[rows]]], array[finite[rows]]) for rows, array in parts]

    def _encode(self, randomness: Callable[[int], bytes]) -> list[Change]:
        heads, layout = self._live["head"], self._loaded.layout
        plans = [one.plan for one in self._planned]
        works = [one.entry.work for one in self._planned]
        expected = positions(self._bytes)
        states = self._live["state"]
        seen = self._loaded.model.seen(states)
        random = randomness(16 * len(works))
        tokens = [work.token or random[16 * row : 16 * row + 16] for row, work in enumerate(works)]
        heads["step"] = [plan.step for plan in plans]
        heads["last"] = [plan.last for plan in plans]
        token_array = np.frombuffer(b"".join(tokens), np.uint8).reshape(-1, 16)
        digest_array = np.frombuffer(b"".join([work.digest for work in works]), np.uint8).reshape(-1, 8)
        bump(heads, token_array, digest_array)
        rows, slots = self._attributed(heads)
        self._outcomes = entries.outcomes(
            layout,
            heads,
            self._last_slots(rows, slots),
            status=200,
            tokens=token_array,
            digests=digest_array,
            replayed=[len(plan.again) for plan in plans],
            times=[entries.time_after(plan.label.grid, plan.last) for plan in plans],
            forecasts=entries.Bounds.of(heads).cut(entries.issued(self._loaded, states, seen)),
            warmed_up=seen >= self._loaded.spec.warm_up,
        )
        writes = self._writes(rows, slots)
        ttls: list[int] = heads["ttl_ms"].tolist()
        full: list[int] = (heads["flags"] & HeadFlag.FULL).tolist()
        return [
            Change(work.session, token, work.digest, stood, Kind.WRITE, written, ttl_ms, bool(keeps))
            for work, token, stood, written, ttl_ms, keeps in zip(
                works, tokens, expected, writes, ttls, full, strict=True
            )
        ]

    def _attributed(self, heads: Structured) -> tuple[NDArray[np.int64], Structured]:
        """All slots in the order of time, each with the revision that writes it and its place in the answer."""
        applied = np.zeros(len(heads), np.int64)
        imputed = np.zeros(len(heads), np.int64)
        if len(self._slots) == 1:
            [(rows, slots)] = self._slots
            imputed_alone = slots["flags"] != 0
            slots["applied"], slots["imputed"], slots["revision"] = ~imputed_alone, imputed_alone, heads["revision"]
            return rows, slots
        for rows, slots in self._slots:
            missing = slots["flags"] != 0
            applied[rows] += ~missing
            imputed[rows] += missing
            slots["applied"], slots["imputed"] = applied[rows], imputed[rows]
            slots["revision"] = heads["revision"][rows]
        return (
            np.concatenate([rows for rows, _ in self._slots]),
            np.concatenate([slots for _, slots in self._slots]),
        )

    def _last_slots(self, rows: NDArray[np.int64], slots: Structured) -> Structured:
        if len(self._slots) == 1:
            return slots
        last = np.zeros(len(self._planned), np.int64)
        last[rows] = np.arange(len(rows))  # later ones of a row overwrite earlier ones
        observed: Structured = slots[last]
        return observed

    def _writes(self, rows: NDArray[np.int64], slots: Structured) -> list[Writes]:
        everyone = np.arange(len(self._planned))
        if len(self._slots) > 1:  # else each is the last one of its session
            heads = self._live["head"]
            kept = slots["step"] + heads["history"][rows] > heads["step"][rows]
            kept |= (heads["flags"][rows] & HeadFlag.FULL) != 0  # the store moves each ring that they fill
            rows, slots = rows[kept], slots[kept]
        snapshots = None
        if self._snapshots:
            snapshots = (
                np.concatenate([due for due, _ in self._snapshots]),
                np.concatenate([array for _, array in self._snapshots]),
            )
            holds = self._live["head"]["history"][snapshots[0]] > 0
            snapshots = (snapshots[0][holds], snapshots[1][holds])
        return wave_writes(
            self._live,
            self._loaded.layout,
            slots=(rows, slots),
            outcomes=(everyone, self._outcomes),
            snapshots=snapshots,
        )

    @property
    def origin(self) -> list[int]:
        """The row that each change was computed from."""
        return [one.row for one in self._planned]

    @property
    def turns(self) -> list[drift.Turn]:
        """Of drift; their rows are the numbers of the changes."""
        return drift.turns(self._alarms, self._bases[:, None] + np.arange(self._alarms.shape[1]))

    def stands(self, numbers: Sequence[int]) -> tuple[list[str], list[Stand]]:
        """The sessions of these changes, and where they stand after them."""
        planned = self._planned if len(numbers) == len(self._planned) else [self._planned[row] for row in numbers]
        loaded = self._loaded
        return [one.entry.session for one in planned], [Stand(one.plan.place_after(), loaded) for one in planned]

    def stored(self, numbers: Sequence[int]) -> Bytes:
        """The heads and states of these changes, as they are stored but for the stamps."""
        return self._bytes if len(numbers) == len(self._live) else self._bytes[numbers]

    @property
    def _bytes(self) -> Bytes:
        return self._live.view(np.uint8).reshape(len(self._live), self._loaded.layout.live_bytes)

    def settle(self, outcomes: Sequence[Outcome], log: EventLog) -> list[tuple[Planned, Outcome]]:
        """Answer, and tell; returns those that lost a race, or whose key another request committed first."""
        lost: list[tuple[Planned, Outcome]] = []
        committed = self.committed
        answers = read_answers(self._outcomes) if self.changes else []
        for one, change, answer, outcome in zip(self._planned, self.changes, answers, outcomes, strict=True):
            entry = one.entry
            own = outcome is Outcome.REPLAYED and entry.work.token is None  # a re-sent command found its own success
            if outcome is Outcome.APPLIED or own:
                committed.append((one.plan.label, answer))
                entry.settle(Reply.of(one.plan.label, answer))
            elif outcome is Outcome.UNCONFIRMED:
                committed.append((one.plan.label, answer))
                entry.fail(DurabilityUnconfirmed(entry.session, recognised=entry.work.is_recognised))
            elif outcome is Outcome.UNAVAILABLE:
                entry.fail(StoreUnavailable("the store did not take the observation; nothing was changed"))
            elif outcome is Outcome.UNKNOWN:
                entry.fail(DeadlineExceeded(f"the store did not confirm in time; {entry.work.again}"))
            else:
                assert change.expected is not None, "a wave advances what is there"
                entry.work = replace(entry.work, stored=outcome is Outcome.REPLAYED)
                having_seen(entry, change.expected)
                lost.append((one, outcome))
        log.answered(len(committed), committed)
        for turn in self.turns:
            label, answer = self._planned[turn.row].plan.label, answers[turn.row]
            if outcomes[turn.row] in COMMITTED:
                etag = render.etag(answer.incarnation, answer.revision)
                log.tell(drift.event(label, self._live["head"][turn.row], etag, turn))
        return lost
