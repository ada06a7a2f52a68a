"""Which rows of a batch are ordinary: they follow what their session holds, and nothing about them needs its history.

What a session holds may come from the cache; the commit then tells whether that was still so, and whatever is not
ordinary is decided by what is stored.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.sessions import entries
from service.sessions.bulk_folding import TOKEN_BYTES, Advance
from service.sessions.cache import StateCache
from service.sessions.places import Places
from service.sessions.records import Committed
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import differing, follows
from service.sessions.waves import Waves
from service.sessions.work import NO_DIGEST, Reply, Work, digest_of_observations, token_of
from service.settings import Settings
from service.storage.layout import HEAD, HEAD_BYTES, NO_TIME, Bytes, position
from service.storage.record import find_damage, heads_of
from service.storage.store import Found, SessionStore
from service.wire.batch_rows import Rows
from service.wire.problems import ServiceError, StoreUnavailable
from service.wire.schemas import SessionSettings
from service.wire.session_problems import RecordDamaged, SessionNotFound

ROWS_OF_A_SESSION = 32
"""Rows of one session in one commit."""
WINDOW_BYTES = HEAD["tokens"].itemsize
"""Of the tokens of a session's last outcomes, with their digests."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What batches work with.

    Args:
        randomness: that many random bytes.
    """

    store: SessionStore
    cache: StateCache
    registry: Registry
    waves: Waves[Work, Reply]
    settings: Settings
    randomness: Callable[[int], bytes]
    committed: Committed


@dataclass(slots=True)
class Asked:
    """What a batch asks for of all its rows.

    Attributes:
        failing: sessions of which a row was not settled: what follows it in the batch must not be applied before it.
    """

    creation: SessionSettings | None
    correcting: bool
    failing: dict[str, ServiceError] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Line:
    """Rows of one session, in order; those before `at` are settled.

    Attributes:
        seen: the position at which the session was read, where its next row is no ordinary one.
        stored: the store was found to know that row already.
    """

    session: str
    rows: list[int]
    at: int = 0
    seen: bytes | None = None
    stored: bool = False

    @property
    def rest(self) -> list[int]:
        return self.rows[self.at :]


@dataclass(frozen=True, slots=True)
class Read:
    """Sessions and what is known of them, of the first `cached` from the cache: their commit tells whether it holds.

    Args:
        rows: (B, >= live_bytes) heads and states.
        found: of `Found`.
        damaged: by row, what is wrong.
    """

    lines: list[Line]
    cached: int
    rows: Bytes
    found: list[int]
    damaged: dict[int, str]


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to become of sessions: by model what is folded, what is no ordinary case, what is refused as a whole."""

    groups: dict[LoadedModel, list[Advance]] = field(default_factory=dict)
    unusual: list[Line] = field(default_factory=list)
    refused: list[tuple[Line, ServiceError]] = field(default_factory=list)


class Planner:
    """Reads the sessions of some rows, and plans what is ordinary."""

    def __init__(self, parts: Parts, rows: Rows, asked: Asked) -> None:
        self._parts = parts
        self._rows = rows
        self._asked = asked
        self._is_keyed = any(key is not None for key in rows.keys)

    async def read(self, lines: Sequence[Line]) -> Read:
        """Heads and states: what is cached, and of the others what the store holds."""
        parts, cache = self._parts, self._parts.cache
        cached = [line for line in lines if line.session in cache] if cache.is_trusted else []
        rows = cache.rows([line.session for line in cached])
        found, damaged = [int(Found.PRESENT)] * len(cached), dict[int, str]()
        if len(cached) == len(lines):
            return Read(cached, len(cached), rows, found, damaged)
        others = [line for line in lines if line.session not in cache] if cached else list(lines)
        reading = await parts.store.read([line.session for line in others], parts.registry.live_bytes)
        damaged = {row + len(cached): reason for row, reason in find_damage(reading.rows).items()}
        rows = np.concatenate([rows, reading.rows]) if cached else reading.rows
        return Read([*cached, *others], len(cached), rows, found + reading.found.tolist(), damaged)

    def planned(self, read: Read) -> Planned:
        """What is to be done with the next rows of each session."""
        heads = heads_of(read.rows)
        places = Places([line.session for line in read.lines], heads)
        unsound = {loaded: entries.find_unsound(loaded, read.rows) for loaded in self._parts.registry.models}
        planned = Planned()
        known = heads["tokens"].tobytes() if self._is_keyed else b""
        fresh = self._fresh_tokens(read.lines)
        for at, (line, found) in enumerate(zip(read.lines, read.found, strict=True)):
            if found == Found.UNAVAILABLE:
                planned.refused.append((line, StoreUnavailable("the store did not answer; nothing was changed")))
            elif found == Found.ABSENT:
                if self._asked.creation is None:
                    planned.refused.append((line, SessionNotFound(line.session)))
                else:
                    planned.unusual.append(line)
            else:
                try:
                    loaded = places.sound_model(at, self._parts.registry, read.damaged)
                    if unsound[loaded][at]:
                        raise RecordDamaged(line.session)
                except ServiceError as refused:
                    planned.refused.append((line, refused))
                    continue
                advance = self._ordinary(line, at, places, known[at * WINDOW_BYTES : (at + 1) * WINDOW_BYTES], fresh)
                if advance is None:
                    line.seen = position(read.rows[at, :HEAD_BYTES].tobytes())
                    planned.unusual.append(line)
                else:
                    planned.groups.setdefault(loaded, []).append(advance)
        return planned

    def _fresh_tokens(self, lines: Sequence[Line]) -> Iterator[bytes]:
        """Random ones, for rows without a key."""
        count = sum(min(len(line.rows) - line.at, ROWS_OF_A_SESSION) for line in lines)
        random = self._parts.randomness(TOKEN_BYTES * count)
        return (random[at : at + TOKEN_BYTES] for at in range(0, len(random), TOKEN_BYTES))

    def _ordinary(
        self, line: Line, at: int, places: Places, known: bytes, fresh: Iterator[bytes]
    ) -> Advance | None:
        """The rows of a line that follow what the session holds; None = the next one does not.

        Args:
            known: the tokens of the session's last outcomes.
            fresh: tokens for rows without a key.
        """
        rows, step, last = self._rows, places.steps[at], places.lasts[at]
        label = places.label(at)
        grid = label.grid
        taken: list[int] = []
        instants: list[int] = []
        tokens: list[bytes] = []
        digests: list[bytes] = []
        keyed = False
        if step and not places.requires_match[at] and not differing(label, self._asked.creation):
            for row in line.rows[line.at : line.at + ROWS_OF_A_SESSION]:
                if rows.if_match[row] is not None or row in rows.covariates:
                    break
                timestamp, sent = rows.timestamps[row], rows.steps[row]
                if grid is None:
                    instant = NO_TIME if timestamp is None and (sent is None or sent == step + 1) else None
                else:
                    instant = None if timestamp is None else follows(grid, last, timestamp)
                if instant is None:
                    break
                key = rows.keys[row]
                if key is None:
                    tokens.append(next(fresh))
                    digests.append(NO_DIGEST)
                    keyed = False
                else:
                    token = token_of(key)
                    if token in known:
                        break
                    known += token
                    tokens.append(token)
                    digests.append(self.digest(row))
                    keyed = True
                taken.append(row)
                instants.append(instant)
                step, last = step + 1, instant
        if not taken:
            return None
        return Advance(line.session, at, label, taken, instants, tokens, digests, keyed)

    def digest(self, row: int) -> bytes:
        """Of the payload of a row that has a key."""
        return digest_of_observations([self._rows.observation(row)], listed=False, correcting=self._asked.correcting)


def lines_of(rows: Rows) -> dict[str, Line]:
    """The rows that can be read, by session."""
    lines: dict[str, Line] = {}
    refused = rows.refused
    for row, session in enumerate(rows.sessions):
        if row not in refused:
            line = lines.get(session)
            if line is None:
                lines[session] = Line(session, [row])
            else:
                line.rows.append(row)
    return lines
