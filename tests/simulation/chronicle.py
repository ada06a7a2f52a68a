"""What happened to each session, seen from beside the store: every commit, checked as it is made.

The commits of a session form a tree: a store that falls back to an older state begins another branch there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import isnan, nan

import numpy as np

from models.dates.calendar import CALENDAR, features
from service.sessions.registry import LoadedModel
from service.storage.history import BASE, chunk_of, slots_between
from service.storage.layout import HEAD, NO_TIME, SlotFlag, Structured, is_full
from service.storage.record import DamagedRecord, Record
from tests.simulation.keyspace import Contents, Hash
from tests.simulation.server import Server

Value = float | None
"""None = missing."""
Numbers = tuple[float, ...]

STAMP_AT = 512
"""Of a record: what follows is the store's own time."""
DAY_US = 86_400_000_000
FOLDS_KEPT = 20_000


class Violation(Exception):
    """A promise was broken."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A session after its observations: the state's bytes, and the forecast of the next step (5,); None = none yet."""

    state: bytes
    forecast: Numbers | None


class Offline:
    """Folds of whole series from the initial state, through the model's runtime alone; prefixes are kept."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._initial = Folded(loaded.model.initial_state(1)[0].tobytes(), None)
        self._kept: dict[tuple[int, tuple[Value, ...]], Folded] = {}

    def fold(self, anchor: int, values: tuple[Value, ...]) -> Folded:
        """Args:
        anchor: time of the first observation in microseconds, then daily; NO_TIME where steps are counted.
        """
        known = len(values)
        while known and (anchor, values[:known]) not in self._kept:
            known -= 1
        folded = self._kept[anchor, values[:known]] if known else self._initial
        if len(self._kept) > FOLDS_KEPT:
            self._kept.clear()
        for step in range(known, len(values)):
            folded = self._after(folded, anchor, step, values[step])
            self._kept[anchor, values[: step + 1]] = folded
        return folded

    def _after(self, folded: Folded, anchor: int, step: int, value: Value) -> Folded:
        model = self._loaded.model
        state = np.frombuffer(folded.state, np.uint8)[None]
        calendar = np.zeros((1, CALENDAR), np.float32)
        if anchor != NO_TIME:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=anchor + step * DAY_US)
            calendar[0] = features(moment)
        states, quantiles = model.step(state, np.array([nan if value is None else value]), calendar)
        known = model.seen(states)[0] > 0
        return Folded(states[0].tobytes(), tuple(quantiles[0, self._loaded.stored].tolist()) if known else None)


@dataclass(frozen=True, slots=True, eq=False)
class Commit:
    """A session as one commit left it.

    Attributes:
        slots: the observations that it retains, oldest first.
        before: the commit that it was made upon.
    """

    session: str
    incarnation: bytes
    revision: int
    anchor: int
    values: tuple[Value, ...]
    folded: Folded
    blob: bytes
    slots: Structured
    before: Commit | None

    @property
    def step(self) -> int:
        return len(self.values)

    @property
    def etag(self) -> str:
        return f"{self.incarnation.hex()}-{self.revision}"

    @property
    def retained_from(self) -> int:
        """The oldest step whose observation is retained; one after the last if none is."""
        return self.step - len(self.slots) + 1

    def __str__(self) -> str:
        return f"{self.etag} step {self.step} {list(self.values[-3:])}"


Standing = dict[str, Commit]
"""The latest commit of each session that a server holds."""


@dataclass
class Chronicle:
    """Watches a store.

    Attributes:
        commits: by session and ETag; more than one after the store fell back.
        sent: which session each value was sent to.
        corrections: the values that may take the place of another.
        deleting, rewinding: how many deletions and rewinds of a session are under way.
        ended: sessions' last commits, where they were deleted or replaced after they had expired.
        lost: the commits that were gone when the store fell back.
        confirmed: those that were answered where replicas confirm, so that they must not be lost.
    """

    loaded: LoadedModel
    offline: Offline
    commits: defaultdict[tuple[str, str], list[Commit]] = field(default_factory=lambda: defaultdict(list))
    sent: dict[float, str] = field(default_factory=dict)
    corrections: set[float] = field(default_factory=set)
    deleting: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    rewinding: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    ended: list[Commit] = field(default_factory=list)
    lost: set[Commit] = field(default_factory=set)
    confirmed: set[Commit] = field(default_factory=set)
    stored: set[float] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    fallbacks: int = 0
    _lives: set[bytes] = field(default_factory=set)
    _rivals: dict[float, float] = field(default_factory=dict)

    def changed(self, server: Server) -> None:
        """Called after each change of a server's sessions; after a violation nothing is compared any more."""
        if self.violations:
            return
        standing: Standing = server.notes
        contents = server.keyspace.contents
        for key, value in list(contents.values.items()):
            session = session_of(key)
            if session is None:
                continue
            before = standing.get(session)
            if before is None or value != before.blob:
                try:
                    assert isinstance(value, bytes)
                    standing[session] = self._taken(session, value, before, contents, server)
                except (Violation, DamagedRecord) as broken:
                    self.violations.append(f"{session}: {broken}")
                    return
        self._deleted(standing, contents, server.latest_ms)

    def fell_back(self, server: Server, contents: Contents, standing: Standing) -> int:
        """The server will hold an older state; returns how many commits are gone."""
        kept = {commit for last in standing.values() for commit in chain(last)}
        gone = {commit for last in server.notes.values() for commit in chain(last)} - kept
        self.violations += [f"{commit.session}: {commit} was confirmed, and lost" for commit in gone & self.confirmed]
        gone |= {commit for commit in self.ended if commit not in kept}
        self.lost = (self.lost | gone) - kept
        self.fallbacks += bool(gone)
        return len(gone)

    def is_over(self, commit: Commit) -> bool:
        """Whether the life of the session that a commit belongs to has been deleted or has expired."""
        return any(last.incarnation == commit.incarnation for last in self.ended)

    def exclude(self, first: Sequence[Value], second: Sequence[Value]) -> None:
        """Of these observations, sent under one key, only the ones or the others may be applied."""
        for one, other in zip(first, second, strict=True):
            if one is not None and other is not None:
                self._rivals |= {one: other, other: one}

    def _deleted(self, standing: Standing, contents: Contents, now_ms: int) -> None:
        for session, last in list(standing.items()):
            if f"hs:{{default/{session}}}".encode() not in contents.values:
                if not self.deleting[session] and not is_expired(last, now_ms):
                    self.violations.append(f"{session}: {last} was deleted though no deletion was under way")
                if history_of(session, contents, now_ms):
                    self.violations.append(f"{session}: the history of {last} outlived it")
                self.ended.append(last)
                del standing[session]

    def _taken(
        self, session: str, blob: bytes, before: Commit | None, contents: Contents, server: Server
    ) -> Commit:
        """Check a record that was just written, and its history. Raises Violation or DamagedRecord."""
        now_ms, latest_ms = server.now_ms(), server.latest_ms
        record = Record.parse(blob, self.loaded.layout)
        slots = _retained(record, history_of(session, contents, now_ms))
        head = record.head
        incarnation, revision, anchor = head["incarnation"].tobytes(), int(head["revision"]), int(head["anchor"])
        if before is not None and before.incarnation != incarnation and is_expired(before, latest_ms):
            self.ended.append(before)
            before = None
        if before is not None and is_expired(before, latest_ms) and _is_again(chain(before)[-1], blob):
            return replace(chain(before)[-1], blob=blob)
        if before is not None and is_expired(before, now_ms):
            raise Violation(f"a session that had expired went on: {incarnation.hex()}-{revision} upon {before}")
        if before is not None and revision != before.revision + 1:
            raise Violation(f"revision {revision} was committed upon {before}")
        if before is None or before.incarnation != incarnation:
            if incarnation in self._lives and not self._is_made_again(session, incarnation, blob):
                raise Violation(f"an earlier life came back: {incarnation.hex()}-{revision} upon {before}")
            if before is not None and record.step:
                raise Violation(f"a living session was replaced by another: {incarnation.hex()} upon {before}")
            self._lives.add(incarnation)
            same_life = None
        else:
            same_life = before
        values = self._values(session, record, slots, same_life)
        folded = self.offline.fold(anchor, values)
        if record.state.tobytes() != folded.state:
            raise Violation(f"the state after step {record.step} is not the offline fold's, upon {before}")
        commit = Commit(session, incarnation, revision, anchor, values, folded, blob, slots, before)
        self.commits[session, commit.etag].append(commit)
        return commit

    def _is_made_again(self, session: str, incarnation: bytes, blob: bytes) -> bool:
        """Whether a creation was run twice, the second time after the store had lost what it made."""
        made = self.commits[session, f"{incarnation.hex()}-1"]
        return any(commit in self.lost and commit.blob[:STAMP_AT] == blob[:STAMP_AT] for commit in made)

    def _values(
        self, session: str, record: Record, slots: Structured, before: Commit | None
    ) -> tuple[Value, ...]:
        """The session's observations, those that were just appended or corrected included."""
        known = () if before is None else before.values
        if record.step < len(known):
            if not self.rewinding[session]:
                raise Violation(f"{len(known)} steps became {record.step}, though no rewind was under way")
            known = known[: record.step]
        first = record.step - len(slots) + 1
        if first > len(known) + 1:
            raise Violation(f"{record.step - len(known)} steps were appended at once, and not all are retained")
        values = known[: first - 1] + tuple(None if isnan(value) else value for value in slots["value"].tolist())
        if values[: len(known)] != known:
            assert before is not None
            self._check_corrections(slots, values, before)
        self._check_slots(slots, int(record.head["anchor"]), values)
        for value in set(values) - set(known) - {None}:
            assert value is not None
            self._check_new(session, value, values)
        return values

    def _check_new(self, session: str, value: float, values: tuple[Value, ...]) -> None:
        self.stored.add(value)
        if self.sent.get(value) != session:
            raise Violation(f"{value} was stored, which was sent to {self.sent.get(value)}")
        if value in self._rivals and self._rivals[value] in values:
            raise Violation(f"{value} was applied though its key had been used for {self._rivals[value]}")
        if values.count(value) > 1:
            raise Violation(f"{value} was applied twice: {values}")

    def _check_corrections(self, slots: Structured, values: tuple[Value, ...], before: Commit) -> None:
        """What changed was sent as a correction; what had been issued stays as it was."""
        old = {int(slot["step"]): slot for slot in before.slots}
        for slot in slots:
            step = int(slot["step"])
            if step not in old:
                continue
            value = values[step - 1]
            if value != before.values[step - 1]:
                if value is not None and value not in self.corrections:
                    raise Violation(f"step {step} changed from {before.values[step - 1]} to {value}: no correction")
                if not slot["flags"] & SlotFlag.HAS_ORIGINAL:
                    raise Violation(f"step {step} does not tell its original value")
            if slot["issued"].tobytes() != old[step]["issued"].tobytes():
                raise Violation(f"the forecast that had been issued for step {step} was overwritten")

    def _check_slots(self, slots: Structured, anchor: int, values: tuple[Value, ...]) -> None:
        """Steps without holes, times one day apart, and of the newest the forecast that had been issued for it."""
        if not len(slots):
            return
        if anchor != NO_TIME and (slots["timestamp"] != anchor + (slots["step"].astype(np.int64) - 1) * DAY_US).any():
            raise Violation(f"times are not contiguous: {slots['timestamp'].tolist()} from {anchor}")
        issued = self.offline.fold(anchor, values[:-1]).forecast
        if not same(slots["issued"][-1].tolist(), issued) and not slots["flags"][-1] & SlotFlag.HAS_REVISED:
            raise Violation(f"the forecast issued for step {len(values)} is not the offline fold's")


def session_of(key: bytes) -> str | None:
    """The session whose record a key holds; None = another kind of key."""
    if not (key.startswith(b"hs:{default/") and key.endswith(b"}")):
        return None
    return key.removeprefix(b"hs:{default/").removesuffix(b"}").decode()


def history_of(session: str, contents: Contents, now_ms: int) -> Hash:
    """The chunks of a history that is kept in full; empty where there are none that have not expired."""
    key = f"hs:{{default/{session}}}:history".encode()
    found = contents.values.get(key, Hash())
    assert isinstance(found, Hash)
    return Hash() if contents.expires.get(key, now_ms + 1) <= now_ms else found


def _retained(record: Record, history: Hash) -> Structured:
    """All retained observations, oldest first. Raises Violation or DamagedRecord where the history is another's."""
    ring, first = record.history, int(record.head["first"])
    full = is_full(record.head)
    numbers = range(chunk_of(first, ring), record.step // ring) if full else range(0)
    if history.keys() - {BASE} != {b"%d" % number for number in numbers}:
        raise Violation(f"step {record.step} with chunks of {ring} from step {first} has those of {sorted(history)}")
    if not full:
        return record.slots()
    return slots_between(record, [history[b"%d" % number] for number in numbers], first, record.step)


def chain(last: Commit) -> list[Commit]:
    """A commit and all that it was made upon, newest first."""
    found = [last]
    while (before := found[-1].before) is not None:
        found.append(before)
    return found


def is_expired(last: Commit, now_ms: int) -> bool:
    expires = int(np.frombuffer(last.blob, HEAD, count=1)[0]["expires_ms"])
    return expires != 0 and expires <= now_ms


def _is_again(before: Commit, blob: bytes) -> bool:
    """Whether a creation was run twice, the second time after what it made had expired."""
    return before.revision == 1 and blob[:STAMP_AT] == before.blob[:STAMP_AT]


def same(found: list[float], right: Numbers | None) -> bool:
    return all(map(isnan, found)) if right is None else tuple(found) == right
