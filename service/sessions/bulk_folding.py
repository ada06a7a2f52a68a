"""The ordinary rows of a batch: many sessions of one model, each advanced by the observations that follow its last one.

What a wave does for one observation of each session is done here by column, for several: stepped in turn, and
committed as one change of each session, with an outcome for each row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.sessions import entries
from service.sessions.registry import LoadedModel
from service.storage.answers import Label
from service.storage.layout import Bytes, HeadFlag, Structured, position
from service.storage.record import Writes, bump, live_of, wave_writes
from service.storage.store import Change, Kind

TOKEN_BYTES = 16


@dataclass(slots=True, eq=False)
class Advance:
    """Rows of a batch that follow each other and what their session holds.

    Args:
        at: row of the session among those that were read.
        rows: numbers of the rows in the batch.
        instants, tokens, digests: one for each; a token is random where no key was sent.
        keyed: whether the last one has a key of its own.
    """

    session: str
    at: int
    label: Label
    rows: list[int]
    instants: list[int]
    tokens: list[bytes]
    digests: list[bytes]
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of those sessions that have one: `active` (n,) of the advances, `rows` (n,) of the batch."""

    active: NDArray[np.int64]
    rows: NDArray[np.int64]
    outcomes: Structured


@dataclass(slots=True)
class Fold:
    """Advances of sessions of one model, folded and encoded.

    Attributes:
        advances: those whose states stayed finite.
        refused: those of which one did not, so that they must be taken row by row.
        changes: one of each advance, to be committed.
        turns: the outcomes, in the order of the steps.
        live: heads and states, one of each change.
    """

    advances: list[Advance]
    changes: list[Change]
    turns: list[Turn]
    live: Structured
    refused: list[Advance] = field(default_factory=list)

    def stored(self, numbers: Sequence[int]) -> Bytes:
        """The heads and states of these changes, as they are stored but for the stamps."""
        live = np.ascontiguousarray(self.live[numbers])
        return live.view(np.uint8).reshape(len(live), self.live.dtype.itemsize)


def fold(
    loaded: LoadedModel, advances: Sequence[Advance], read: Bytes, values: entries.Doubles
) -> Fold:
    """Fold and encode, in memory.

    Args:
        read: (B, >= live_bytes) heads and states as read, which `Advance.at` counts in.
        values: of all rows of the batch, NaN = missing.
    """
    live = live_of(read[[advance.at for advance in advances]], loaded.layout)
    folding = _Folding(loaded, live, advances, values)
    for turn in range(int(folding.counts.max())):
        folding.step(turn)
    return folding.encoded()


class _Folding:
    def __init__(
        self, loaded: LoadedModel, live: Structured, advances: Sequence[Advance], values: entries.Doubles
    ) -> None:
        self.loaded = loaded
        self.advances = list(advances)
        self.counts = np.array([len(advance.rows) for advance in advances])
        self._live = live
        self._values = values
        heads = live["head"]
        self._stood = _positions(heads)
        self._bounds = entries.Bounds.of(heads)
        self._finite = np.ones(len(advances), bool)
        self._every = np.maximum(heads["history"].astype(np.int64) // 2, 1)
        self._told = self._bounds.cut(entries.issued(loaded, live["state"]))
        self._turns: list[Turn] = []
        self._slots: list[Structured] = []
        self._snapshots: list[tuple[NDArray[np.int64], Structured]] = []

    def step(self, turn: int) -> None:
        """Fold the observation of this number of each advance that has as many."""
        heads, states, loaded = self._live["head"], self._live["state"], self.loaded
        active = np.flatnonzero(self.counts > turn)
        whole = len(active) == len(self.advances)
        ones = self.advances if whole else [self.advances[row] for row in active.tolist()]
        rows = np.array([one.rows[turn] for one in ones])
        instants = [one.instants[turn] for one in ones]
        values = self._values[rows]
        tokens = np.frombuffer(b"".join([one.tokens[turn] for one in ones]), np.uint8).reshape(-1, TOKEN_BYTES)
        digests = np.frombuffer(b"".join([one.digests[turn] for one in ones]), np.uint8).reshape(-1, 8)
        features = [entries.features_at(one.label.grid, instant) for one, instant in zip(ones, instants, strict=True)]
        folded, _ = loaded.model.step(states[active], values, np.array(features, np.float32))
        self._finite[active] &= loaded.model.finite(folded)
        states[active] = folded
        moved = heads[active]
        moved["step"] += np.uint64(1)
        moved["last"] = instants
        bump(moved, tokens, digests)
        heads[active] = moved
        slots = entries.slots(
            loaded.layout,
            steps=moved["step"],
            instants=instants,
            values=values.tolist(),
            imputed=[False] * len(rows),
            issued=self._told[active],
        )
        slots["applied"], slots["revision"] = 1, moved["revision"]
        self._told[active] = entries.Bounds.of(moved).cut(entries.issued(loaded, folded))
        outcomes = entries.outcomes(
            loaded.layout,
            moved,
            slots,
            status=200,
            tokens=tokens,
            digests=digests,
            replayed=[0] * len(rows),
            times=[entries.time_after(one.label.grid, instant) for one, instant in zip(ones, instants, strict=True)],
            forecasts=self._told[active],
            warmed_up=entries.is_warmed_up(loaded, folded),
        )
        self._turns.append(Turn(active, rows, outcomes))
        self._slots.append(slots)
        self._keep_snapshots(active, moved, folded)

    def _keep_snapshots(self, active: NDArray[np.int64], heads: Structured, states: Bytes) -> None:
        due = np.flatnonzero((heads["step"].astype(np.int64) % self._every[active] == 0) & (heads["history"] > 0))
        if len(due):
            snapshots = np.zeros(len(due), self.loaded.layout.snapshot)
            snapshots["step"], snapshots["state"] = heads["step"][due], states[due]
            self._snapshots.append((active[due], snapshots))

    def encoded(self) -> Fold:
        """The changes to commit; an advance that met what is not finite is left out."""
        heads = self._live["head"]
        writes = self._writes()
        ttls: list[int] = heads["ttl_ms"].tolist()
        full: list[bool] = ((heads["flags"] & HeadFlag.FULL) != 0).tolist()
        changes = [
            Change(
                one.session, one.tokens[-1], one.digests[-1], stood, Kind.WRITE, written, ttl_ms, keeps
            )
            for one, stood, written, ttl_ms, keeps in zip(
                self.advances, self._stood, writes, ttls, full, strict=True
            )
        ]
        if self._finite.all():
            return Fold(self.advances, changes, self._turns, self._live)
        return self._without_refused(changes)

    def _without_refused(self, changes: Sequence[Change]) -> Fold:
        finite = self._finite
        numbers = np.cumsum(finite) - 1
        turns = []
        for turn in self._turns:
            stays = finite[turn.active]
            turns.append(Turn(numbers[turn.active[stays]], turn.rows[stays], turn.outcomes[stays]))
        sound = finite.tolist()
        return Fold(
            [one for one, is_sound in zip(self.advances, sound, strict=True) if is_sound],
            [change for change, is_sound in zip(changes, sound, strict=True) if is_sound],
            turns,
            self._live[finite],
            [one for one, is_sound in zip(self.advances, sound, strict=True) if not is_sound],
        )

    def _writes(self) -> list[Writes]:
        heads = self._live["head"]
        active = np.concatenate([turn.active for turn in self._turns])
        slots = np.concatenate(self._slots)
        outcomes = np.concatenate([turn.outcomes for turn in self._turns])
        kept = slots["step"] + heads["history"][active] > heads["step"][active]
        kept |= (heads["flags"][active] & HeadFlag.FULL) != 0  # the store moves each ring that they fill
        known = outcomes["revision"] + np.uint64(len(heads["tokens"][0])) > heads["revision"][active]
        snapshots = None
        if self._snapshots:
            due = np.concatenate([rows for rows, _ in self._snapshots])
            snapshots = due, np.concatenate([array for _, array in self._snapshots])
        return wave_writes(
            self._live,
            self.loaded.layout,
            slots=(active[kept], slots[kept]),
            outcomes=(active[known], outcomes[known]),
            snapshots=snapshots,
        )


def _positions(heads: Structured) -> list[bytes]:
    data, size = heads.tobytes(), heads.dtype.itemsize
    return [position(data[at : at + size]) for at in range(0, len(data), size)]
