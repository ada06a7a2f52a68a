"""From a session's record to the document of its state. Nothing here commits."""

from base64 import b64encode
from collections.abc import Awaitable, Callable

import msgspec

from models.artifacts.runtime import describe
from service.sessions.records import WholeRecords
from service.sessions.registry import LoadedModel
from service.sessions.whole import Whole
from service.states.document import FORMAT, Array, Kept, Record, Settings, State, Text
from service.storage.answers import HAS_ORIGINAL, Label, Observed, read_observed
from service.storage.layout import Bytes, HeadFlag
from service.wire import render
from service.wire.session_problems import ModelUnavailable

RECORDS_AT_ONCE = 128
"""Records of one slice of work: about a millisecond."""
NAMELESS = "put its folder back: only with it can the covariates of this older record be told by name"
CARRIED = tuple(flag for flag in HeadFlag if flag is not HeadFlag.FULL)
"""Flags that no setting tells."""


class Exporter:
    """Writes the state documents of sessions.

    Args:
        stand_in: a model for sessions whose own is not here; it is not run.
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(
        self, records: WholeRecords, stand_in: LoadedModel, between: Callable[[], Awaitable[None]]
    ) -> None:
        self._records = records
        self._stand_in = stand_in
        self._between = between

    async def export(self, session: str) -> tuple[bytes, str]:
        """The document of a session as it stands, and its ETag. Its model need not be here.

        Raises:
            ModelUnavailable: the record keeps covariates, and only its model, which is not here, knows their names.
            SessionNotFound, and what `WholeRecords.look` raises.
        """
        whole = await self._records.existing(session, instead=self._stand_in)
        if whole.full:
            found, _ = await self._records.look(session, whole.retained_from, instead=self._stand_in)
            whole = found or whole
        label = whole.place.label
        if whole.encoding is None:
            raise ModelUnavailable(whole.place.standing(), label.model, NAMELESS)
        text = Text(_document(whole))
        for at in range(0, len(whole.slots), RECORDS_AT_ONCE):
            observed = read_observed(whole.slots[at : at + RECORDS_AT_ONCE])
            text.add([_record(label, one) for one in observed])
            await self._between()
        return text.whole(), render.head_etag(whole.record.head)


def _document(whole: Whole) -> State:
    """Without its history."""
    head, grid = whole.record.head, whole.place.label.grid
    return State(
        format=FORMAT,
        session=_settings(whole),
        step=whole.record.step,
        first=render.written(grid, int(head["anchor"])),
        last=render.written(grid, int(head["last"])),
        flags=[str(flag.name).lower() for flag in CARRIED if int(head["flags"]) & flag],
        model=whole.place.label.model,
        fingerprint=f"sha256:{whole.fingerprint.hex()}",
        runtime=describe(),
        arrays=arrays(whole.loaded) if whole.is_readable else [Array("state", "uint8", [len(whole.record.state)])],
        data=_text(whole.record.state),
        kept=_kept(whole),
        history=[],
    )


def _settings(whole: Whole) -> Settings:
    head, grid = whole.record.head, whole.place.label.grid
    session = render.session(
        whole.place.label,
        head,
        retained_from=None,
        warmed_up=None,
        scores_all=None,
        scores_recent=None,
        drifting_since=None,
        static=whole.record.tail.get("static", {}),
        warnings=(),
    )
    named = {name: session[name] for name in Settings.__struct_fields__}
    return msgspec.convert({**named, "freq": None if grid is None else grid.freq}, Settings)


def _kept(whole: Whole) -> list[Kept]:
    """The earlier states, oldest first; of a full history also that before its first observation."""
    record = whole.record
    states = {int(one["step"]): one["state"] for one in record.snapshots if one["filled"]}
    if whole.full and whole.base is not None and whole.retained_from > 1:
        states[whole.retained_from - 1] = whole.base
    return [Kept(step, _text(states[step])) for step in sorted(states)]


def arrays(loaded: LoadedModel) -> list[Array]:
    """The arrays of a model's state."""
    return [Array(field.name, _TYPES[field.dtype], list(field.shape)) for field in loaded.spec.layout.fields]


_TYPES = {"<f8": "float64", "<f4": "float32", "<f2": "float16"}


def _record(label: Label, observed: Observed) -> Record:
    return msgspec.convert({**render.record(label, observed), "corrected": observed.flags & HAS_ORIGINAL != 0}, Record)


def _text(state: Bytes) -> str:
    return b64encode(state.tobytes()).decode()
