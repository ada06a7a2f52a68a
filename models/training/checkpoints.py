"""Checkpoints of a training: weights and optimiser state as safetensors, everything else as JSON; never pickle."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from models.training.curve import Point, Progress
from models.training.learner import Learner

TENSORS, FACTS = "checkpoint.safetensors", "checkpoint.json"


class CheckpointError(ValueError):
    """A checkpoint that this training cannot go on from."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a training that came to its end and was judged.

    Attributes:
        label: the name@version that it was for.
        fingerprint: of the published model; None where it was not worth publishing.
    """

    label: str
    fingerprint: str | None


def save(run: Path, identity: dict[str, object], learner: Learner, progress: Progress) -> None:
    """Write a checkpoint into `run`, whole or not at all: each file replaces the old one when it is complete."""
    run.mkdir(parents=True, exist_ok=True)
    tensors = {f"weights/{name}": value for name, value in learner.module.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in learner.average.state_dict().items()}
    for name, moments in _moments(learner).items():
        tensors |= {f"{kind}/{name}": value for kind, value in moments.items()}
    tensors |= {f"best/{name}": value for name, value in progress.best.items()}
    tensors["update"] = torch.tensor(progress.update)
    save_file({name: value.contiguous() for name, value in tensors.items()}, run / f"{TENSORS}.new")
    curve = [asdict(point) for point in progress.curve]
    standing = {name: getattr(progress, name) for name in ("update", "seconds", "phase", "began")}
    facts = {"identity": identity, "progress": {**standing, "curve": curve}}
    (run / f"{FACTS}.new").write_text(json.dumps(facts, indent=1))
    os.replace(run / f"{TENSORS}.new", run / TENSORS)
    os.replace(run / f"{FACTS}.new", run / FACTS)


def end(run: Path, ended: Ended) -> None:
    """Note what became of the training in `run`: another one may begin there."""
    (run / f"{FACTS}.new").write_text(json.dumps({**_facts(run), "ended": asdict(ended)}, indent=1))
    os.replace(run / f"{FACTS}.new", run / FACTS)


def ended(run: Path) -> Ended | None:
    """What became of the training in `run`; None where there is none, or it is not at its end."""
    found = _facts(run).get("ended")
    return found and Ended(**found)


def different(run: Path, identity: dict[str, object]) -> list[str]:
    """In what a training differs from the one in `run`, whose options are noted there."""
    wanted = json.loads(json.dumps(identity))
    return [key for key in wanted if _facts(run)["identity"].get(key) != wanted[key]]


def resume(run: Path, identity: dict[str, object], learner: Learner) -> Progress | None:
    """Load the checkpoint in `run` into the learner; None if there is none, or that of another one that is ended.

    Raises:
        CheckpointError: it belongs to a training with other options, or its files do not belong together.
    """
    if not (run / FACTS).is_file():
        return None
    if others := different(run, identity):
        if ended(run) is not None:
            return None
        raise CheckpointError(
            f"{run}: holds an unfinished training with other {', '.join(others)}; give another folder, or delete it"
        )
    tensors = load_file(run / TENSORS)
    saved = _facts(run)["progress"]
    if int(tensors["update"]) != saved["update"]:
        raise CheckpointError(f"{run}: its two checkpoint files are of different updates; delete the folder")
    learner.module.load_state_dict(_named(tensors, "weights/"))
    learner.average.load_state_dict(_named(tensors, "average/"))
    for name, parameter in learner.module.named_parameters():
        learner.optimizer.state[parameter] = {
            kind: tensors[f"{kind}/{name}"] for kind in ("step", "exp_avg", "exp_avg_sq") if f"{kind}/{name}" in tensors
        }
    curve = [Point(**point) for point in saved["curve"]]
    return Progress(**{**saved, "curve": curve}, best=_named(tensors, "best/"))


def _facts(run: Path) -> dict[str, Any]:
    """What is noted in `run`; nothing where nothing is."""
    file = run / FACTS
    facts: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return facts


def _named(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(learner: Learner) -> dict[str, dict[str, torch.Tensor]]:
    return {name: dict(learner.optimizer.state[parameter]) for name, parameter in learner.module.named_parameters()}
