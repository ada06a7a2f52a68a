"""The flat record of a fold's state: named arrays with dtype, shape and offset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

DTYPES = ("<f8", "<f4", "<f2")


@dataclass(frozen=True, slots=True)
class Field:
    """One named array of a session's state.

    Args:
        name: dotted name, unique in the state, such as ``lstm.h``.
        dtype: ``<f8`` for raw values, levels and scales; ``<f4`` or ``<f2`` for what the network keeps.
        shape: of one session, without the batch dimension.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers in the array."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes in the array."""
        return self.width * np.dtype(self.dtype).itemsize


class StateLayout:
    """Where each array lies in the state's bytes: by type, the widest first, without gaps."""

    def __init__(self, fields: Iterable[Field]) -> None:
        given = tuple(fields)
        self.fields = tuple(f for dtype in DTYPES for f in given if f.dtype == dtype)
        if len(self.fields) != len(given):
            raise ValueError(f"a state array is one of {', '.join(DTYPES)}")
        if len({f.name for f in given}) != len(given):
            raise ValueError("two state arrays have one name")
        self.offsets: dict[str, int] = {}
        self.spans: list[tuple[str, int, int]] = []
        """Type, first byte and end of the arrays of one type."""
        self.size = 0
        for dtype, arrays in groupby(self.fields, key=lambda f: f.dtype):
            start = self.size
            for field in arrays:
                self.offsets[field.name] = self.size
                self.size += field.size
            self.spans.append((dtype, start, self.size))
        self._by_name = {f.name: f for f in self.fields}
        self._places = {
            field.name: (slice(start, start + field.size), field.dtype, field.shape)
            for field, start in zip(self.fields, self.offsets.values(), strict=True)
        }

    def field(self, name: str) -> Field:
        """The array called `name`; KeyError if the state has none."""
        return self._by_name[name]

    def view(self, states: npt.NDArray[np.uint8], name: str) -> npt.NDArray[Any]:
        """The array `name` of B sessions.

        Args:
            states: (B, size) bytes.
        Returns:
            (B, *shape), a copy where the bytes are not aligned for a view.
        """
        place, dtype, shape = self._places[name]
        column = np.ascontiguousarray(states[:, place])
        return column.view(dtype).reshape(len(states), *shape)

    def describe(self) -> list[dict[str, Any]]:
        """The layout as plain values, in order: what `model.json` and an exported state say of it."""
        offsets = self.offsets
        return [
            {"name": f.name, "dtype": f.dtype, "shape": list(f.shape), "offset": offsets[f.name]} for f in self.fields
        ]

    @classmethod
    def parse(cls, described: list[dict[str, Any]]) -> StateLayout:
        """The inverse of `describe`; ValueError where the offsets are not those that the fields give."""
        layout = cls(Field(d["name"], d["dtype"], tuple(d["shape"])) for d in described)
        if layout.describe() != described:
            raise ValueError("the state layout's offsets do not follow from its arrays")
        return layout
