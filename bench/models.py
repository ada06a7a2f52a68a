"""A daily model with two layers of 64 and random weights, which cost what trained ones cost; made once and kept.

    python -m bench.models

prints the folder of its artifact, which other benchmarks take as `--model`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch

import models
from models.artifacts.artifact import Description, publish
from models.mixture import Mixture, MixtureConfig

NAME, VERSION = "daily-2x64", 1
CARD = f"# {NAME}\n\nRandom weights: it exists to be timed, and forecasts nothing of use.\n"


def two_layers() -> Path:
    """The folder of the artifact; made anew (some 20 s) when the code that exports it has changed."""
    root = _cache() / _digest()
    folder = root / NAME / str(VERSION)
    if not folder.exists():
        torch.manual_seed(0)
        module = Mixture(MixtureConfig(hidden=64, layers=2)).eval()
        publish(module, Description(NAME, VERSION, ["D"], 28, CARD), root)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hiddenstate" / "bench"


def _digest() -> str:
    """Of the sources that decide what an artifact is."""
    root = Path(models.__file__).parent
    sources = [*root.glob("*.py"), *root.glob("layers/*.py"), *root.glob("artifacts/*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:16]


if __name__ == "__main__":
    print(two_layers())
