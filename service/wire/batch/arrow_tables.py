"""Times of sessions as columns of an Arrow table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.dates.grid import Grid
from models.dates.zones import UTC_NAMES
from service.storage.layout import NO_TIME
from service.wire import render

pa.array([""])  # the first one looks for pandas, which takes a fifth of a second: now, and not while requests wait


def time_type(sent: pa.DataType | None) -> pa.DataType:
    """The type of answered times, for those that were sent: as text, as steps, or as timestamps."""
    if sent is None:
        return pa.string()
    if pa.types.is_timestamp(sent):
        return pa.timestamp("us", sent.tz)
    if pa.types.is_date(sent):
        return pa.timestamp("us")
    return pa.int64() if pa.types.is_integer(sent) else pa.string()


def time_column(
    kind: pa.DataType,
    grids: Sequence[Grid | None],
    instants: NDArray[np.int64],
    steps: NDArray[np.int64],
    told: NDArray[np.bool_],
) -> Any:  # noqa: ANN401 - a pyarrow.Array
    """(n,) times in one of the types that `time_type` gives.

    Text is the written form, or the step in digits where steps are counted. Timestamps without a zone show each
    session's own clock. A time that the type has no form for is null: a step among timestamps, a timestamp among steps.

    Args:
        grids: None where steps are counted.
        told: whether there is a time at all.
    """
    if pa.types.is_integer(kind):
        counted = np.array([grid is None for grid in grids], bool)
        return pa.array(steps, mask=~(told & counted))
    if pa.types.is_timestamp(kind):
        known = told & (instants != NO_TIME)
        shown = instants if kind.tz is not None else _on_clocks(grids, instants, known)
        return pa.array(np.where(known, shown, 0), mask=~known).cast(kind)
    written = [
        (str(step) if grid is None else render.written(grid, instant)) if is_told else None
        for grid, instant, step, is_told in zip(grids, instants.tolist(), steps.tolist(), told.tolist(), strict=True)
    ]
    return pa.array(written, pa.string())


def _on_clocks(
    grids: Sequence[Grid | None], instants: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """What the clocks of the sessions' zones show, as if it were UTC."""
    shown = instants.copy()
    shifted = {grid for grid in set(grids) if grid is not None and grid.timezone not in UTC_NAMES}
    for row in np.flatnonzero(known).tolist() if shifted else ():
        grid = grids[row]
        if grid is not None and grid in shifted:
            local = grid.local(int(instants[row]))
            offset = local.utcoffset()
            assert offset is not None, "a zone's clock has an offset"
            shown[row] += offset.days * 86_400_000_000 + offset.seconds * 1_000_000
    return shown
