"""What the query of a POST of observations asks for, the same for one session and for a batch."""

from collections.abc import Mapping

from pydantic import ValidationError

from service.sessions.registry import Registry
from service.wire import parsing, queries
from service.wire.problems import Fault, InvalidRequest, NotFound
from service.wire.schemas import SessionSettings

PARAMETERS = ("create", "freq", "model", "on_conflict")


def parameters(query: bytes, *more: str) -> dict[str, str]:
    """The query's parameters. Raises InvalidRequest for those given twice, and for unknown ones.

    Args:
        more: names that are known besides.
    """
    return queries.parameters(query, (*PARAMETERS, *more))


def creation(given: Mapping[str, str], registry: Registry) -> SessionSettings | None:
    """What to create sessions with; None = do not. Raises InvalidRequest or NotFound."""
    create = given.get("create", "false")
    if create not in ("true", "false"):
        raise InvalidRequest([Fault("must be true or false", parameter="create")])
    settings = {name: given[name] for name in ("freq", "model") if name in given}
    if create == "false":
        if settings:
            faults = [Fault("goes with create=true only", parameter=name) for name in settings]
            raise InvalidRequest(faults)
        return None
    try:
        asked = SessionSettings.model_validate(settings)
    except ValidationError as error:
        refused = parsing.faults(error, SessionSettings)
        raise InvalidRequest(
            [Fault(fault.detail, parameter=(fault.pointer or "").lstrip("/")) for fault in refused]
        ) from None
    if asked.model is not None and registry.named(asked.model) is None:
        known = ", ".join(loaded.spec.label for loaded in registry.models)
        raise NotFound(f"there is no model of that name; this server has {known}")
    return asked


def is_correcting(given: Mapping[str, str]) -> bool:
    """Whether another value for a stored time corrects it. Raises InvalidRequest."""
    on_conflict = given.get("on_conflict", "reject")
    if on_conflict not in ("reject", "correct"):
        raise InvalidRequest([Fault("must be reject or correct", parameter="on_conflict")])
    return on_conflict == "correct"
