"""Where sessions stand, read from the heads of their records."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from models.dates.grid import Grid, grid
from models.dates.zones import zone
from service.sessions.covariates import naming
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import Place
from service.storage.answers import Label
from service.storage.layout import HEAD_BYTES, NO_TIME, HeadFlag, Structured
from service.wire.problems import Standing
from service.wire.session_problems import ModelMismatch, ModelUnavailable, RecordDamaged


class Stand(msgspec.Struct, frozen=True):
    """Where a session stands, and the model that folds it on."""

    place: Place
    loaded: LoadedModel


class Places:
    """The heads of B sessions as columns: one number of a structured array costs as much as a hundred of a list."""

    def __init__(self, sessions: Sequence[str], heads: Structured) -> None:
        self.sessions = sessions
        self.steps: list[int] = heads["step"].tolist()
        self.lasts: list[int] = heads["last"].tolist()
        self.revisions: list[int] = heads["revision"].tolist()
        self.fingerprints = _pieces(heads["fingerprint"].tobytes(), 32)
        self.models: list[bytes] = heads["model"].tolist()
        self.requires_match: list[int] = heads["require_if_match"].tolist()
        self._incarnations = _pieces(heads["incarnation"].tobytes(), 8)
        self._anchors: list[int] = heads["anchor"].tolist()
        self._freqs: list[bytes] = heads["freq"].tolist()
        self._timezones: list[bytes] = heads["timezone"].tolist()
        self._flags: list[int] = heads["flags"].tolist()
        self._rejects: list[int] = heads["gaps"].tolist()
        self._max_gaps: list[int] = heads["max_gap"].tolist()
        self._state_bytes: list[int] = heads["state_bytes"].tolist()
        self._labels: list[Label | None] = [None] * len(sessions)

    def place(self, row: int, loaded: LoadedModel) -> Place:
        step = self.steps[row]
        decided = self._freqs[row] or step or self._flags[row] & HeadFlag.COUNTED
        return Place(
            self._named(row, loaded),
            step,
            self.lasts[row],
            self._incarnations[row],
            self.revisions[row],
            None if self._rejects[row] else self._max_gaps[row],
            None if decided else loaded.spec.freqs[0],
            self._timezones[row].decode(),
            bool(self.requires_match[row]),
            loaded.encoding if loaded.takes_covariates else None,
        )

    def stand(self, row: int, registry: Registry) -> Stand:
        """Raises what `model` and `label` raise."""
        loaded = self.model(row, registry)
        return Stand(self.place(row, loaded), loaded)

    def label(self, row: int) -> Label:
        """Raises RecordDamaged: its texts are no model, freq or timezone."""
        label = self._labels[row]
        if label is None:
            try:
                grid = _grid(self._freqs[row], self._timezones[row], self._anchors[row])
                label = self._labels[row] = Label(self.sessions[row], self.models[row].decode(), grid)
            except ValueError:
                raise RecordDamaged(self.sessions[row]) from None
        return label

    def sound_model(self, row: int, registry: Registry, damaged: Mapping[int, str]) -> LoadedModel:
        """The model of a session whose head and state were checked.

        A state that is longer than what was read cannot be checked; it belongs to a model that is not loaded.

        Raises:
            RecordDamaged: its bytes are not a sound record. And what `model` raises.
        """
        if row in damaged and self._state_bytes[row] <= registry.live_bytes - HEAD_BYTES:
            raise RecordDamaged(self.sessions[row])
        loaded = self.model(row, registry)
        if row in damaged:
            raise RecordDamaged(self.sessions[row])
        self._named(row, loaded)
        return loaded

    def _named(self, row: int, loaded: LoadedModel) -> Label:
        """The label, with the names of the covariates that the model takes with observations."""
        label = self.label(row)
        if loaded.takes_covariates and not label.covariates:
            label = self._labels[row] = naming(label, loaded.encoding)
        return label

    def model(self, row: int, registry: Registry) -> LoadedModel:
        """The model that a session's state belongs to.

        Raises:
            ModelUnavailable: it is not loaded here.
            ModelMismatch: the one loaded under its name is another.
        """
        loaded = registry.of(self.fingerprints[row])
        if loaded is not None:
            return loaded
        label = self.label(row)
        written = None if label.grid is None or self.lasts[row] == NO_TIME else label.grid.format(self.lasts[row])
        at = Standing(label.session, self.steps[row], written)
        other = registry.exactly(label.model)
        if other is None:
            raise ModelUnavailable(at, label.model)
        expected = f"sha256:{self.fingerprints[row].hex()}"
        raise ModelMismatch(at, label.model, expected=expected, found=other.fingerprint)


@lru_cache(maxsize=8192)
def _grid(freq: bytes, timezone: bytes, anchor: int) -> Grid | None:
    """Raises ValueError: there is no such freq or timezone."""
    zone(timezone.decode())
    if not freq:
        return None
    return grid(freq.decode(), timezone.decode(), None if anchor == NO_TIME else anchor)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
