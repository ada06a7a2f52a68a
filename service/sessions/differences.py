"""How an observation that is sent differs from the one that is stored for its time or step."""

from collections.abc import Sequence
from math import isnan

from service.sessions.covariates import Given
from service.storage.answers import IMPUTED, Observed
from service.wire.problems import Fault, pointer

VALUE = -1
"""In place of a covariate's place: the value itself."""


def differing(stored: Observed, sent: float, given: Given) -> list[int]:
    """Where it does: in its value, and in the covariates given, each by its place; equal are the same float64.

    What was imputed was never sent.
    """
    places = [place for place, number in given.items() if _differ(stored.covariates[place], number)]
    return [VALUE, *places] if _differ(stored.value, sent) or stored.flags & IMPUTED else places


def faults(differ: Sequence[int], observed: Sequence[str], where: Sequence[str | int]) -> list[Fault]:
    """The members of an observation that differ from the stored one.

    Args:
        observed: names of the covariates at the observation; the places after theirs are those of its `future`.
    """
    members = (
        ("value",) if place == VALUE else ("covariates", observed[place]) if place < len(observed) else ("future",)
        for place in differ
    )
    return [Fault("differs from the observation of that time", pointer(*where, *one)) for one in dict.fromkeys(members)]


def _differ(kept: float, sent: float) -> bool:
    return kept != sent and not (isnan(kept) and isnan(sent))
