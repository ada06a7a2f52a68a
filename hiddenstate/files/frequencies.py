"""The frequency of a file's times, where nobody has said it."""

import numpy as np

from hiddenstate.files.tables import UNREADABLE, SeriesFile
from models.dates.detection import detect


def told_by(file: SeriesFile) -> str | None:
    """The frequency of most times of the first series; None where they tell none.

    Raises:
        TableError: the file cannot be used.
    """
    if not file.is_dated:
        return None
    part = next(file.parts())
    readable = np.flatnonzero(part.times != UNREADABLE)
    rows = readable[np.argsort(part.codes[readable], kind="stable")]
    begins = np.flatnonzero(np.diff(part.codes[rows]))
    return detect(np.split(part.times[rows].astype("datetime64[us]"), begins + 1))
