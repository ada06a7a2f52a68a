"""Publish the small artifacts of the golden files: random in every parameter, so that every path matters.

    python -m tests.golden.publish_models

Published once; what they forecast is frozen with them. Files that exist are never overwritten.
"""

from __future__ import annotations

from pathlib import Path

import torch

from models.artifacts.artifact import Description, publish
from models.mixture import Mixture, MixtureConfig

ROOT = Path(__file__).parent / "artifacts"
MODELS = {
    "one-layer": MixtureConfig(hidden=8, layers=1),
    "two-layers": MixtureConfig(hidden=16, layers=2, season=5, horizon=7),
    "three-layers": MixtureConfig(hidden=24, layers=3, season=12, horizon=9),
    "two-seasons": MixtureConfig(
        hidden=8,
        season=6,
        longer=18,
        kept=3,
        shown=4,
        horizon=9,
        trends=True,
        far=True,
        anchors=(1, 3, 6, 9),
        oldest=40,
        drift=True,
    ),
}


def random_module(config: MixtureConfig, seed: int) -> Mixture:
    """A model none of whose parameters has the value that it starts training with."""
    torch.manual_seed(seed)
    module = Mixture(config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


def main() -> None:
    for seed, (name, config) in enumerate(MODELS.items()):
        if (ROOT / name).exists():
            continue
        card = f"# {name}\n\nRandom weights; it exists to be compared with its golden file.\n"
        print(publish(random_module(config, seed), Description(name, 1, ["D"], 4 * config.season, card), ROOT))


if __name__ == "__main__":
    main()
