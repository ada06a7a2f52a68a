"""Write page_hinkley.json: at which step River's Page-Hinkley test notices that errors have changed.

    pip install river && python -m tests.golden.make_page_hinkley

River (0.26.1 when the file was written) is needed here alone. The errors are those of `changed_errors`, whose mean size
is 1 before the change; the test's delta and threshold are the allowances and limits of the drift layer. It is asked
twice, of the errors for both directions and of their sizes for growth, and the earlier alarm counts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from models.artifacts.runtime import Doubles
from models.layers import drift

GOLDEN = Path(__file__).parent / "page_hinkley.json"
CHANGED, STEPS = 300, 400
"""Errors before the change, and in all."""


def changed_errors() -> dict[str, Doubles]:
    """By name, (STEPS,) errors that change after the first CHANGED."""
    rng = np.random.default_rng(1954)
    found: dict[str, Doubles] = {}
    for number in range(4):
        for kind, drawn in {"normal": rng.standard_normal(STEPS), "laplace": rng.laplace(size=STEPS)}.items():
            errors = drawn / np.abs(drawn[:CHANGED]).mean()
            later = np.arange(STEPS) >= CHANGED
            leaning, larger = 2.0 * later, 1.0 + 4.0 * later
            changes = {"up": errors + leaning, "down": errors - leaning, "larger": errors * larger}
            found |= {f"{kind} {number}, {change}": changed for change, changed in changes.items()}
    return found


def main() -> None:
    from river.drift import PageHinkley  # type: ignore[import-not-found]

    noticed = {}
    for name, errors in changed_errors().items():
        leaning = PageHinkley(drift.FEW, drift.LEANING, drift.LEANING_LIMIT, alpha=1.0, mode="both")
        larger = PageHinkley(drift.FEW, drift.LARGER, drift.LARGER_LIMIT, alpha=1.0, mode="up")
        for step, error in enumerate(np.clip(errors, -drift.CUT, drift.CUT).tolist(), 1):
            leaning.update(error)
            larger.update(abs(error))
            if leaning.drift_detected or larger.drift_detected:
                noticed[name] = step
                break
    GOLDEN.write_text(json.dumps(noticed, indent=1) + "\n")


if __name__ == "__main__":
    main()
