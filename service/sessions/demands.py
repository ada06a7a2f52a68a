"""What a request demands of a session: that it stands where the client thinks, and is the one that is meant."""

from collections.abc import Sequence

from service.sessions.rules import Place
from service.storage.answers import Label
from service.wire import headers
from service.wire.problems import Fault, InvalidRequest
from service.wire.schemas import SessionSettings
from service.wire.session_problems import PreconditionFailed, PreconditionRequired, SessionExists, StateRegressed


def require_match(place: Place, if_match: Sequence[str] | None) -> None:
    """Compare If-Match with where the session stands.

    Raises:
        PreconditionRequired: the session requires it, and it was not sent.
        StateRegressed: it names a later revision of the same life: the store lost commits.
        PreconditionFailed: it names another state.
    """
    if if_match is None:
        if place.requires_match:
            raise PreconditionRequired(place.standing())
        return
    if headers.matches(tuple(if_match), place.etag):
        return
    for position in map(headers.position, if_match):
        if position is not None and position[0] == place.incarnation and position[1] > place.revision:
            raise StateRegressed(place.standing())
    raise PreconditionFailed(place.standing(), place.etag)


def require_settings(place: Place, asked: SessionSettings | None) -> None:
    """Raises SessionExists where a session that would have been created with other settings is there already."""
    if differences := differing(place.label, asked, undecided=place.undecided):
        raise SessionExists(place.standing(), differences)


def require_model(place: Place, model: str | None) -> None:
    """Raises InvalidRequest where a session belongs to another model than it is asked for by."""
    if model is not None and not is_of(place.label.model, model):
        detail = f"session {place.label.session} belongs to the model {place.label.model}"
        raise InvalidRequest([Fault(detail, parameter="model")], at=place.standing())


def is_of(own: str, model: str) -> bool:
    """Whether a name, or `name@version`, is that of a session's own model, `name@version`."""
    return model in (own, own.partition("@")[0])


def differing(label: Label, asked: SessionSettings | None, *, undecided: str | None = None) -> list[str]:
    """Names of the settings to create a session with that are not those of the session that is there."""
    differences: list[str] = []
    if asked is None or not asked.model_fields_set:
        return differences
    freq = undecided if label.grid is None else label.grid.freq
    if asked.model is not None and not is_of(label.model, asked.model):
        differences.append("model")
    if "freq" in asked.model_fields_set and asked.freq != freq:
        differences.append("freq")
    return differences


def require_no_regress(place: Place, position: bytes, seen: bytes | None) -> None:
    """Raises StateRegressed where the session's position is not that seen earlier nor one that follows it."""
    if seen is None or seen == position or seen[:8] != place.incarnation:
        return
    if int.from_bytes(position[8:12], "little") <= int.from_bytes(seen[8:12], "little"):
        raise StateRegressed(place.standing())
