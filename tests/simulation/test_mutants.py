"""Faults put into the service on purpose are found: a surviving mutant would mean that the simulation proves little."""

import pytest

from tests.simulation.mutants import MUTANTS, SEEDS, Mutant, found


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name.replace(" ", "-") for mutant in MUTANTS])
def test_the_simulation_finds_the_mutant(mutant: Mutant) -> None:
    seeds = [mutant.seed, *(seed for seed in range(SEEDS) if seed != mutant.seed)]
    first = found(mutant, seeds)
    assert first is not None, f"{mutant.name} survived {SEEDS} seeds"
    print(f"{mutant.name}: found by seed {first}")
