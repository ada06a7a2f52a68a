"""The process beside the service that unrolls a history in one pass, for :verify. Only here is torch imported.

It reads requests from its standard input and answers on its standard output, each a length (u4) and an npz archive, and
ends when its input does, also where the service was killed.
"""

import io
import os
import sys
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.mixture import Mixture

LENGTH = Struct("<I")
POLITENESS = 10
"""Added to the process' niceness: single observations come first."""

Arrays = dict[str, NDArray[Any]]


def pack(arrays: Arrays) -> bytes:
    """Arrays as one message."""
    archive = io.BytesIO()
    np.savez(archive, allow_pickle=False, **arrays)
    data = archive.getvalue()
    return LENGTH.pack(len(data)) + data


def unpack(data: bytes) -> Arrays:
    """The inverse of `pack`, without the length."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def unroll(
    folder: Path, state: NDArray[np.uint8], values: NDArray[np.float64], calendar: NDArray[np.float32]
) -> Arrays:
    """Unroll one session's values in one pass of the reference module.

    Args:
        state: (S,) where the values begin; values: (T,), NaN where missing; calendar: (T, 5).
    Returns:
        `issued` (T, Q), the next step's quantiles after each value; `fan` (H, Q) after the last; after each value
        `scale` (T,), the session's, and `resolution` (T,), see `MixtureHead.resolution`.
    """
    import torch

    from models.layers.scale import scale_of
    from models.layout import StateLayout

    module = _module(folder)
    layout = StateLayout(module.fields)
    arrays = {field.name: torch.from_numpy(layout.view(state[None], field.name).copy()) for field in layout.fields}
    with torch.no_grad():
        given, begun = (torch.from_numpy(values[None]), torch.from_numpy(calendar[None])), module.state_of(arrays)
        fan, _ = module.unroll(*given, begun)
        before = torch.cat([begun["issued"].unsqueeze(1), fan[:, :-1, 0]], dim=1)[..., module.scores.median]
        known = ~given[0].isnan()
        window, _ = module.unroll_memory(torch.where(known, given[0], before), known.double(), given[1], begun)
        scale = scale_of(window.memory[..., module.memory.columns.scale])
        sizes = {"scale": scale, "resolution": module.head.resolution(window.memory)}
    made = {"issued": fan[0, :, 0].numpy(), "fan": fan[0, -1].numpy()}
    return made | {name: size[0, :, 0].numpy() for name, size in sizes.items()}


@lru_cache(maxsize=4)
def _module(folder: Path) -> "Mixture":
    from models.artifacts.artifact import load_module

    return load_module(folder)


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are none."""
    import torch

    os.nice(POLITENESS)
    torch.set_num_threads(1)
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        asked = unpack(requests.read(LENGTH.unpack(head)[0]))
        folder = Path(asked["folder"].tobytes().decode())
        answers.write(pack(unroll(folder, asked["state"], asked["values"], asked["calendar"])))
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
