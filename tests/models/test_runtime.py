import os
import platform
from pathlib import Path

import numpy as np
import onnxruntime as ort

from models.artifacts.artifact import load
from models.artifacts.runtime import describe
from models.dates.calendar import CALENDAR


def threads() -> set[str]:
    """Of this process."""
    return set(os.listdir("/proc/self/task"))


def test_a_model_starts_no_thread_when_it_is_loaded_or_run(folder: Path) -> None:
    before = threads()
    model = load(folder)
    model.step(model.initial_state(512), np.zeros(512), np.zeros((512, CALENDAR), np.float32))
    assert threads() <= before


def test_the_runtime_is_named_with_the_family_of_the_processor() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    families = {"avx512f": "x86-64-avx512", "avx2": "x86-64-avx2"}
    expected = next((family for flag, family in families.items() if flag in flags), platform.machine())
    assert describe() == f"onnxruntime {ort.__version__} {expected}"
