"""The static covariates of a file's series: one value of each in every series."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hiddenstate.files.tables import Part, pc
from hiddenstate.files.unreadable import TableError


class Statics:
    """Learns them part by part; rows that leave one out say nothing of it.

    Args:
        names: the columns.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self._names = names
        self._of: dict[str, dict[str, float]] = {}

    def take(self, part: Part) -> Part:
        """The part without these columns. Raises TableError: a series has two values of one."""
        begun = [name in self._of for name in part.names]
        for series in part.names:
            self._of.setdefault(series, {})
        for name in self._names:
            values = np.asarray(pc.fill_null(part.table[name], np.nan), np.float64)
            known = np.flatnonzero(~np.isnan(values))
            for code, value in np.unique(np.stack([part.codes[known], values[known]]), axis=1).T.tolist():
                series = part.names[int(code)]
                # A series that began without it was created without it.
                if self._of[series].get(name, None if begun[int(code)] else value) != value:
                    raise TableError(
                        f"{self._path}: column {name!r}, which is static for the model, changes within series "
                        f"{series!r}; give it one value in each series, or take it out of the file"
                    )
                self._of[series][name] = value
        return replace(part, table=part.table.drop_columns(list(self._names)))

    def of(self, series: str) -> dict[str, float]:
        """Those of a series that are known."""
        return self._of[series]
