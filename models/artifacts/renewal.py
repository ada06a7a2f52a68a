"""Write a model anew from its weights, in its place, as the code is now: for versions that were in no release yet.

python -m models.artifacts.renewal models/shipped/daily/2 [--set drift=true]

Weights, card, metrics and provenance stay; graphs, state layout and fingerprint change, so that sessions of the model
as it was can only be read. A version that people use is converted to another instead: `hiddenstate convert`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.artifacts.artifact import (
    CARD,
    CONFIG,
    FORECAST,
    ORIGIN,
    STEP,
    WEIGHTS,
    Description,
    load_module,
    publish,
    read_config,
)

WRITTEN = (WEIGHTS, STEP, FORECAST, ORIGIN, CONFIG, CARD)
"""Files that are written anew; all others are copied."""


def renew(folder: Path, changes: Mapping[str, Any]) -> None:
    """Replace the artifact in `folder` by one of the same weights, once that has been checked.

    Args:
        changes: of the architecture, by the names of its fields; none may ask for other weights.
    Raises:
        ArtifactError: as `load_module` and `publish` do.
    """
    from models.mixture import Mixture

    config, module = read_config(folder), load_module(folder)
    renewed = Mixture(replace(module.config, **changes)).eval()
    renewed.load_state_dict(module.state_dict())
    told = {name: config[name] for name in ("name", "version", "freqs", "warm_up", "metrics", "provenance")}
    described = Description(**told, card=(folder / CARD).read_text())
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".renewing-") as scratch:
        beside = [file for file in sorted(folder.iterdir()) if file.name not in WRITTEN]
        made = publish(renewed, described, Path(scratch), beside=beside)
        shutil.rmtree(folder)
        made.rename(folder)


def main() -> None:
    """Renew the folders given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="of the architecture")
    arguments = parser.parse_args()
    changes = {name: json.loads(value) for name, _, value in (one.partition("=") for one in arguments.set)}
    for folder in arguments.folders:
        renew(folder, changes)
        print(f"{folder}: {read_config(folder)['fingerprint']}", flush=True)


if __name__ == "__main__":
    main()
