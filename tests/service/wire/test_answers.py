import numpy as np
import pytest

from service.storage.answers import read_answers, read_observed
from service.storage.layout import outcome_dtype, slot_dtype


def scramble(array: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
    """Bytes that differ from field to field, so that no two can be taken for each other."""
    size = array.dtype.itemsize * len(array)
    array.view(np.uint8)[:] = np.random.default_rng(7).integers(0, 120, size, np.uint8)


@pytest.mark.parametrize("covariates", [0, 1, 3])
def test_every_field_of_an_observation_is_read_from_its_place(covariates: int) -> None:
    slots = np.zeros(3, slot_dtype(covariates))
    scramble(slots)
    for slot, observed in zip(slots, read_observed(slots), strict=True):
        for name in ("flags", "step", "timestamp", "value", "original", "revision", "applied", "imputed"):
            assert getattr(observed, name) == slot[name]
        assert observed.issued == tuple(slot["issued"])
        assert observed.revised == tuple(slot["revised"])
        assert observed.covariates == tuple(slot["covariates"])


@pytest.mark.parametrize("covariates", [0, 2])
def test_every_field_of_an_answer_is_read_from_its_place(covariates: int) -> None:
    outcomes = np.zeros(3, outcome_dtype(covariates))
    scramble(outcomes)
    for outcome, answer in zip(outcomes, read_answers(outcomes), strict=True):
        for name in (
            "status",
            "kind",
            "revision",
            "step",
            "applied",
            "replayed",
            "corrected",
            "imputed",
            "forecast_time",
        ):
            assert getattr(answer, name) == outcome[name]
        assert answer.flags == outcome["flags"]
        for name in ("token", "digest", "incarnation"):
            assert getattr(answer, name) == outcome[name].tobytes()
        assert answer.forecast == tuple(outcome["forecast"])
        assert [answer.observed] == read_observed(outcome["observed"].reshape(1))
