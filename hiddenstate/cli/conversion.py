"""The convert command: a model's weights once more, its hidden state in another type."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hiddenstate.cli import output
from hiddenstate.cli.modelling import find_model, modelling
from hiddenstate.cli.training import next_version


def convert(
    model: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, or the folder of a model.")],
    name: Annotated[str, typer.Option(help="Name of the new model.")],
    state: Annotated[
        Literal["float32", "float16"], typer.Option(help="Type of the hidden state; float16 takes half the bytes.")
    ] = "float16",
    models_dir: Annotated[
        Path, typer.Option(help="Folder of models, and where to publish.", envvar="HIDDENSTATE_MODELS_DIR")
    ] = Path("trained"),
) -> None:
    """Publish a model's weights with a hidden state of another type."""
    with modelling():
        from models.artifacts import artifact

        folder = find_model(model, models_dir)
        version = next_version(name, models_dir)
        published = artifact.convert(folder, models_dir, name=name, version=version, state=state)
        size = artifact.load(published).spec.state_bytes
    line = f"published {name}@{version}, {size:,} bytes of state: {published}"
    output.results().print(line, markup=False, soft_wrap=True)
