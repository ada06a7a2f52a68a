"""Artifacts: a model as a folder `NAME/VERSION/`, published once, checked whenever it is loaded, and never changed.

weights.safetensors   the module's parameters
step.onnx             (state, observation) -> state, which holds the next step's quantiles
forecast.onnx         state -> fan
origin.onnx           state -> what is kept of an origin, of models that judge forecasts further ahead
model.json            configuration, state layout, metrics, provenance, and the fingerprint over all of it
MODEL_CARD.md         for people, as is curve.png, the training curve, of models that have one
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.artifacts import law
from models.artifacts.runtime import Model, ModelSpec
from models.layout import StateLayout

if TYPE_CHECKING:
    from models.mixture import Mixture

FORMAT = 2
WEIGHTS, STEP, FORECAST, ORIGIN = "weights.safetensors", "step.onnx", "forecast.onnx", "origin.onnx"
CONFIG, CARD, CURVE = "model.json", "MODEL_CARD.md", "curve.png"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
SHIPPED = Path(__file__).parents[1] / "shipped"
"""The artifacts that come with the package."""


class ArtifactError(ValueError):
    """The folder is not a model that can be served; the message says why."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a publisher says of a model, beside the module itself.

    Attributes:
        freqs: frequencies that it was trained for, the default first.
        warm_up: steps after which a session counts as warmed up.
        metrics: by collection, as its evaluation gave them.
        provenance: sources, SHA-256 of the training rows, seed, updates.
        card: the model card's Markdown.
    """

    name: str
    version: int
    freqs: Sequence[str]
    warm_up: int
    card: str
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def publish(
    module: Mixture,
    description: Description,
    root: Path,
    *,
    beside: Sequence[Path] = (),
    draft: Path | None = None,
) -> Path:
    """Write the artifact under `root`, check the law on it, and only then let it appear; its folder.

    Args:
        beside: files that are copied beside the card: what it shows, a report.
        draft: an artifact of the same module, whose graphs are taken: to write them takes some ten seconds.
    Raises:
        ArtifactError: the version exists, the name is not one, the draft is of another module, or the graphs break
            the law.
    """
    if not NAME.fullmatch(description.name):
        raise ArtifactError(f"{description.name!r} is no model name: lower-case letters, digits, - and _, at most 40")
    folder = root / description.name / str(description.version)
    if folder.exists():
        raise ArtifactError(f"{folder} exists; a published version is never overwritten, publish the next one")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".publishing-") as temporary:
        unfinished = Path(temporary)
        unfinished.chmod(0o755)
        layout = _write(module, unfinished, draft)
        config: dict[str, Any] = {
            "format": FORMAT,
            "name": description.name,
            "version": description.version,
            "architecture": asdict(module.config),
            "freqs": list(description.freqs),
            "warm_up": description.warm_up,
            "covariates": {kind: list(names) for kind, names in module.config.covariates.by_kind.items()},
            "state": layout.describe(),
            "metrics": description.metrics,
            "provenance": description.provenance,
        }
        config["fingerprint"] = "sha256:" + _fingerprint(unfinished, config).hex()
        (unfinished / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        (unfinished / CARD).write_text(description.card)
        for file in beside:
            shutil.copy(file, unfinished / file.name)
        load(unfinished)
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(unfinished, folder)
        unfinished.mkdir()  # what the temporary directory removes at its end
    return folder


def _write(module: Mixture, folder: Path, draft: Path | None) -> StateLayout:
    """The module's weights and graphs into a folder; the layout of its state."""
    from safetensors.torch import save_file

    from models.artifacts.export import export

    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # its writer lets no other user read it, a service's own user for one
    if draft is None:
        return export(module.eval(), folder)
    config = read_config(draft)
    same_weights = (draft / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    if not same_weights or module.config != type(module.config).of(config["architecture"]):
        raise ArtifactError(f"{draft} is of another module than the one to be published")
    for name in _graphs(config):
        shutil.copy(draft / name, folder / name)
    return StateLayout(module.fields)


def load(folder: Path) -> Model:
    """The model in `folder`, after every check that can be made: files, format, fingerprint, layout, the law.

    Raises:
        ArtifactError: with the reason.
    """
    config = read_config(folder)
    given = config.pop("fingerprint", None)
    found = _fingerprint(folder, config)
    if given != "sha256:" + found.hex():
        raise ArtifactError(f"{folder}: the fingerprint is {given}, but the files give sha256:{found.hex()}")
    try:
        spec = _spec(config, found)
        model = Model(spec, folder)
        law.check(model)
    except law.LawBroken as error:
        raise ArtifactError(f"{folder}: {error}") from error
    except Exception as error:  # the runtime's own errors have no common class
        raise ArtifactError(f"{folder}: {type(error).__name__}: {error}") from error
    return model


def load_module(folder: Path) -> Mixture:
    """The torch module of an artifact, in evaluation mode: the reference that serving is compared with."""
    from safetensors.torch import load_file

    from models.mixture import Mixture, MixtureConfig

    module = Mixture(MixtureConfig.of(read_config(folder)["architecture"]))
    module.load_state_dict(load_file(folder / WEIGHTS))
    return module.eval()


def convert(folder: Path, root: Path, *, name: str, version: int, state: str) -> Path:
    """Publish an artifact's weights once more, with hidden and cell states of another type; the new folder.

    Its figures stay behind: they are of the other type.

    Raises:
        ArtifactError: as `load_module` and `publish` do.
    """
    from models.mixture import Mixture

    config, module = read_config(folder), load_module(folder)
    converted = Mixture(replace(module.config, state=state)).eval()
    converted.load_state_dict(module.state_dict())
    origin = f"{config['name']}@{config['version']}"
    card = f"# {name}@{version}\n\nThe weights of {origin}, with hidden and cell states in {state}.\n"
    provenance = {**config["provenance"], "converted_from": {"model": origin, "fingerprint": config["fingerprint"]}}
    described = Description(name, version, config["freqs"], config["warm_up"], card, provenance=provenance)
    return publish(converted, described, root)


def find(roots: Sequence[Path]) -> list[Path]:
    """Every artifact's folder under the roots, by name and version."""
    found = [path.parent for root in roots for path in root.glob(f"*/*/{CONFIG}") if path.parent.name.isdigit()]
    return sorted(found, key=lambda folder: (folder.parent.name, int(folder.name)))


def read_config(folder: Path) -> dict[str, Any]:
    """What `model.json` in `folder` holds, and whether its files are all there. Raises ArtifactError."""
    _need(folder, WEIGHTS, STEP, FORECAST, CONFIG)
    try:
        config = json.loads((folder / CONFIG).read_text())
    except ValueError as error:
        raise ArtifactError(f"{folder / CONFIG} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ArtifactError(f"{folder / CONFIG} is not a JSON object")
    if config.get("format") != FORMAT:
        raise ArtifactError(f"{folder}: format {config.get('format')!r}; this version reads format {FORMAT}")
    _need(folder, *_graphs(config))
    return config


def _need(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{folder} lacks {', '.join(missing)}")


def _graphs(config: dict[str, Any]) -> tuple[str, ...]:
    """Files with the graphs of a model."""
    return (STEP, FORECAST, ORIGIN) if config.get("architecture", {}).get("far") else (STEP, FORECAST)


def _fingerprint(folder: Path, config: dict[str, Any]) -> bytes:
    """SHA-256 over weights, graphs and configuration, what it says of metrics and provenance included."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, *_graphs(config)):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    digest.update(json.dumps(config, sort_keys=True, separators=(",", ":")).encode())
    return digest.digest()


def _spec(config: dict[str, Any], fingerprint: bytes) -> ModelSpec:
    architecture = config["architecture"]
    quantiles = tuple(architecture["quantiles"])
    levels = tuple(sorted(round(100 * (1 - 2 * q)) for q in quantiles if q < 0.5))
    return ModelSpec(
        name=config["name"],
        version=config["version"],
        fingerprint=fingerprint,
        freqs=tuple(config["freqs"]),
        season=architecture["season"],
        horizon=architecture["horizon"],
        quantiles=quantiles,
        levels=levels,
        warm_up=config["warm_up"],
        covariates={kind: tuple(names) for kind, names in config["covariates"].items()},
        layout=StateLayout.parse(config["state"]),
        architecture=architecture,
        metrics=config["metrics"],
        provenance=config["provenance"],
    )
