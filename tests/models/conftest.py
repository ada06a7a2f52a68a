from pathlib import Path

import pytest

from models.artifacts.artifact import load, load_module
from models.artifacts.runtime import Model
from models.mixture import Mixture
from tests.golden.publish_models import ROOT


@pytest.fixture(scope="session")
def folder() -> Path:
    """A published artifact of two layers."""
    return ROOT / "two-layers" / "1"


@pytest.fixture(scope="session")
def model(folder: Path) -> Model:
    return load(folder)


@pytest.fixture(scope="session")
def module(folder: Path) -> Mixture:
    return load_module(folder)
