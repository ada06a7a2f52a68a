"""What an observation says of covariates, as the numbers that are kept with it.

A record tells their names itself, so that a session can be read and moved where its model is not.
"""

from collections.abc import Sequence
from math import nan

import numpy as np

from models.covariates import Covariates as Taken
from models.covariates import Encoding
from service.storage.answers import Label
from service.storage.record import Record
from service.wire.parsing import FAULT_LIMIT, Covariates
from service.wire.problems import Fault, InvalidRequest, pointer

NAMES = "covariates"
"""Member of a record's tail."""
Given = dict[int, float]
"""Covariates, NaN = missing, by their place among the numbers that are kept with an observation."""


def given_of(
    model: str,
    taken: Encoding | None,
    covariates: Covariates | None,
    future: Sequence[Covariates] | None = None,
    where: tuple[str | int, ...] = (),
    horizons: int = 1,
) -> Given:
    """Covariates of an observation and of the steps after it, by their place among the numbers kept with it.

    Args:
        taken: by the model; None = it takes none.
        horizons: of the model, that the steps ahead may reach.
    Raises:
        InvalidRequest: names that it does not take, or more steps ahead.
    """
    observed = () if taken is None else taken.covariates.observed
    known = () if taken is None else taken.covariates.known
    given, faults = {}, []
    for ahead, row, names in [(0, covariates or {}, observed), *((k, r, known) for k, r in enumerate(future or (), 1))]:
        path = (*where, "covariates") if ahead == 0 else (*where, "future", ahead - 1)
        for name, number in row.items():
            if name in names:
                before = 0 if ahead == 0 else len(observed) + (ahead - 1) * len(known)
                given[before + names.index(name)] = nan if number is None else number
            else:
                faults.append(Fault(f"the model {model} takes {_listed(names, ahead)}", pointer(*path, name)))
    if taken is not None and len(future or ()) > horizons * taken.horizon:
        times = f"{horizons} times " if horizons > 1 else ""
        detail = f"has more rows than {times}the model's horizon of {taken.horizon}"
        faults.insert(0, Fault(detail, pointer(*where, "future")))
    if faults:
        raise InvalidRequest(faults[:FAULT_LIMIT])
    return given


def _listed(names: Sequence[str], ahead: int) -> str:
    return (", ".join(names) or "no covariates") + (" in advance" if ahead and names else "")


def tell(record: Record, encoding: Encoding) -> None:
    """Write into a record's tail the names of the covariates that its model takes, if there are any."""
    record.tail.pop(NAMES, None)
    if encoding.covariates.names:
        record.tail[NAMES] = {kind: list(names) for kind, names in encoding.covariates.by_kind.items()}


def told(record: Record) -> Encoding | None:
    """The covariates of a record whose model is not here; None where it keeps numbers and does not tell their names.

    Only their names and places: without its model, nothing is computed from them.
    """
    kinds = record.tail.get(NAMES, {})
    past, known, static = (tuple(kinds.get(kind, ())) for kind in ("past", "known", "static"))
    count, named = record.layout.covariates, len(past) + len(known) + len(static)
    horizon = (count - len(past) - len(known)) // max(len(known), 1)
    encoding = Encoding(Taken(past, known, static, (0.0,) * named, (1.0,) * named), max(horizon, 0))
    return encoding if encoding.numbers == count else None


def naming(label: Label, encoding: Encoding | None) -> Label:
    """The label with the names of the covariates that are kept with observations; None = nobody knows them."""
    if encoding is None:
        return label._replace(covariates=(), known=0)
    return label._replace(covariates=encoding.covariates.observed, known=encoding.known)


def foreseen(
    taken: Encoding,
    numbers: Sequence[tuple[float, ...]],
    given: Sequence[bool],
    open_: Sequence[bool],
    beyond: Sequence[Sequence[float]],
) -> list[tuple[float, ...]]:
    """What is kept of consecutive steps, where some are told what is known in advance by those that follow them.

    Args:
        numbers: T rows, as they are kept.
        given: whether there is an observation of each step; no step is told anything from beyond one without.
        open_: which steps are to be told.
        beyond: known covariates of the steps that follow the last one.
    """
    kept, there = np.array(numbers), np.array([*given, *[True] * len(beyond)])
    ahead = np.array(beyond, np.float64).reshape(len(beyond), taken.known)
    known = np.concatenate([kept[:, taken.observed - taken.known : taken.observed], ahead])
    reached = np.array(open_)
    for steps in range(1, min(taken.horizon, len(known) - 1) + 1):
        reached[len(known) - steps :] = False
        reached[: len(known) - steps] &= there[steps : steps + len(reached)]
        rows = np.flatnonzero(reached)
        place = taken.observed + (steps - 1) * taken.known
        kept[rows, place : place + taken.known] = known[rows + steps]
    return list(map(tuple, kept.tolist()))


def changed(numbers: tuple[float, ...], given: Given) -> tuple[float, ...]:
    """Numbers with those that are given in their places."""
    return tuple(given.get(place, number) for place, number in enumerate(numbers)) if given else numbers
