import os
from pathlib import Path

import numpy as np

from models.artifacts.artifact import load
from models.dates.calendar import CALENDAR


def threads() -> set[str]:
    """Of this process."""
    return set(os.listdir("/proc/self/task"))


def test_a_model_starts_no_thread_when_it_is_loaded_or_run(folder: Path) -> None:
    before = threads()
    model = load(folder)
    model.step(model.initial_state(512), np.zeros(512), np.zeros((512, CALENDAR), np.float32))
    assert threads() <= before
