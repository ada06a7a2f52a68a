"""Which of many sessions, as they were read, can be worked with: told by model, their states whole."""

from collections.abc import Iterator

import numpy as np

from service.sessions import entries
from service.sessions.places import Places
from service.sessions.registry import LoadedModel, Registry
from service.storage.layout import Bytes
from service.storage.record import find_damage
from service.storage.store import Found, Reading
from service.wire.problems import ServiceError


def readable(places: Places, reading: Reading, registry: Registry) -> dict[LoadedModel | None, list[int]]:
    """The rows of sessions whose heads can be read, by model; None = of models that are not here."""
    damaged = find_damage(reading.rows)
    groups: dict[LoadedModel | None, list[int]] = {}
    for row, found in enumerate(reading.found.tolist()):
        if found != Found.PRESENT:
            continue
        loaded = registry.of(places.fingerprints[row])
        try:
            if loaded is not None:
                places.sound_model(row, registry, damaged)
            else:
                places.label(row)
        except ServiceError:
            continue
        groups.setdefault(loaded, []).append(row)
    return groups


def sound(groups: dict[LoadedModel | None, list[int]], rows: Bytes) -> Iterator[tuple[LoadedModel, list[int], Bytes]]:
    """Of each model that is here: its rows, but for those whose state cannot be, and their heads and states."""
    for loaded, of_model in groups.items():
        if loaded is not None:
            live = rows[of_model, : loaded.layout.live_bytes]
            is_sound = ~entries.find_unsound(loaded, live)
            yield loaded, np.array(of_model)[is_sound].tolist(), live[is_sound]
