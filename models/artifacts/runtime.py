"""A loaded artifact: the compiled graphs, run on plain arrays. Numpy and ONNX Runtime; no torch."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.covariates import Covariates, Encoding
from models.layout import StateLayout
from models.spread import widened

Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
_Arrays = list[npt.NDArray[Any]]
_Place = tuple[int, slice]
"""A block of the state, and columns of it."""

TOLERANCES = {"float32": 1e-5, "float16": 1e-2}
"""By the type of hidden and cell states: how far served forecasts may be from those of the torch module unrolled.

Of the larger of |forecast| and the session's scale. Two numbers that differ in the last bit of float32 can round to
neighbours in float16, 1/2048 apart.
"""

FAMILIES = {"X86_V4": "-avx512", "X86_V3": "-avx2", "SVE": "-sve"}
"""What the runtime chooses its code by: the first of these that the processor has, as numpy names them."""

ALL = slice(None)
_DTYPES = {"tensor(double)": "<f8", "tensor(float)": "<f4", "tensor(float16)": "<f2"}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What `model.json` says of a model.

    Attributes:
        fingerprint: 32 bytes, SHA-256 over weights, graphs and configuration.
        quantiles: ascending probabilities with 0.5 in the middle; `levels` are the intervals (percent) that they bound.
        warm_up: steps after which a session counts as warmed up.
        covariates: names that the model takes, as `past`, `known` in advance and `static`; the architecture has their
            units, too.
    """

    name: str
    version: int
    fingerprint: bytes
    freqs: tuple[str, ...]
    season: int
    horizon: int
    quantiles: tuple[float, ...]
    levels: tuple[int, ...]
    warm_up: int
    covariates: dict[str, tuple[str, ...]]
    layout: StateLayout
    architecture: dict[str, Any]
    metrics: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def label(self) -> str:
        """`name@version`, which sessions are pinned to."""
        return f"{self.name}@{self.version}"

    @property
    def tolerance(self) -> float:
        """Of its forecasts against the torch module unrolled, see `TOLERANCES`."""
        return TOLERANCES[self.architecture["state"]]

    @property
    def state_bytes(self) -> int:
        """Bytes of one session's state."""
        return self.layout.size


class Model:
    """The fold of one artifact, for any number of sessions at once; one thread, safe to share between threads.

    Rows do not see each other: a session's bits are the same whoever shares the batch.
    """

    def __init__(self, spec: ModelSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self._step = _session(folder / "step.onnx")
        self._forecast = _session(folder / "forecast.onnx")
        self._blocks, self._stacked = _blocks(self._step, spec.state_bytes)
        names = list(self._blocks.names or ())
        self._given = [given.name for given in self._step.get_inputs()]
        self.encoding = Encoding(Covariates.of(spec.architecture.get("covariates", {})), spec.horizon)
        self._new = [output.name for output in self._step.get_outputs()]  # else the runtime asks at each step
        self._issued, self._seen = self._place("issued"), self._place("seen")
        self._shown = [names.index(given.name) for given in self._forecast.get_inputs() if given.name in names]
        self._made = [names.index(made.name.removeprefix("next_")) for made in self._step.get_outputs()]
        self._origin = _session(folder / "origin.onnx") if "origin.clock" in spec.layout.offsets else None
        self._given_origin, self._made_origin = _places(self._origin, names) if self._origin else ([], [])
        self._clock = self._place("origin.clock") if self._origin else self._seen
        self._known = self._place("known") if "known" in spec.layout.offsets else None
        self._kept = self._place("origin.fan") if "origin.fan" in spec.layout.offsets else None
        self.raises_alarms = "drift.alarm" in spec.layout.offsets
        """Whether its sessions notice drift."""
        self._alarms = self._place("drift.alarm") if self.raises_alarms else None

    def initial_state(self, batch: int, static: Doubles | None = None) -> Bytes:
        """(B, state_bytes): the state of sessions that have seen nothing.

        Args:
            static: (B, 2 S) or (2 S,) their static covariates, see `Encoding.of_session`; None = none is known.
        """
        states = np.zeros((batch, self.spec.state_bytes), np.uint8)
        if static is not None and self.encoding.static:
            start, size = self.spec.layout.offsets["static"], self.spec.layout.field("static").size
            kept = np.ascontiguousarray(np.broadcast_to(static, (batch, 2 * self.encoding.static)))
            states[:, start : start + size] = kept.view(np.uint8)
        return states

    def static(self, states: Bytes) -> Doubles:
        """(B, 2 S): the static covariates that the states keep, see `Encoding.of_session`."""
        if not self.encoding.static:
            return np.zeros((len(states), 0))
        kept: Doubles = self.spec.layout.view(states, "static")
        return kept

    def known_ahead(self, states: Bytes) -> Floats:
        """(B, H, 2 N): what the states keep of covariates known in advance, as `Encoding.step_ahead` gives it."""
        if not self.encoding.known:
            return np.zeros((len(states), self.spec.horizon, 0), np.float32)
        row: Floats = self.spec.layout.view(states, "covariates")
        return row[:, self.encoding.now :].reshape(len(states), self.spec.horizon, self.encoding.ahead)

    def step(self, states: Bytes, values: Doubles, calendar: Floats) -> tuple[Bytes, Doubles]:
        """Fold one observation of each session.

        Args:
            states: (B, state_bytes), left as they are.
            values: (B,), NaN where missing.
            calendar: (B, 5 + W) features of the observations' local times, and their rows of covariates (`Encoding`) of
                models that take any.
        Returns:
            The new states (B, state_bytes), and the next step's quantiles (B, Q), in units of each series.
        """
        blocks = self._fold(self._split(states), values, calendar)
        return self._joined(blocks), _taken(blocks, self._issued)

    def fold(self, state: Bytes, values: Doubles, calendar: Floats) -> tuple[Bytes, Doubles]:
        """Fold T observations of one session, with the bits of `step` after `step`.

        Args:
            state: (state_bytes,).
            values: (T,), NaN where missing; calendar: (T, 5).
        Returns:
            The state after the last one, and (T, Q): the quantiles that were issued after each.
        """
        running = self.running(state[None])
        issued = np.empty((len(values), len(self.spec.quantiles)))
        for t in range(len(values)):
            issued[t] = running.step(values[t : t + 1], calendar[t : t + 1])[0]
        return running.states()[0], issued

    def running(self, states: Bytes) -> Running:
        """A fold of many steps that begins with these states (B, state_bytes), which are left as they are."""
        return Running(self, self._split(states))

    def forecast(self, states: Bytes, future: Doubles | None = None) -> Doubles:
        """The fan (B, H, Q); its first step has the bits of what the last `step` issued. Folds nothing.

        Args:
            future: (B, H, N) covariates known in advance of the steps ahead, NaN = unknown, in the place of what was
                known at the last observation.
        """
        blocks = self._split(states)
        fan = self._fan(blocks, future)
        if self._known is None:
            return fan
        ago = self._ago(blocks, self._known)
        rows = ago.nonzero()[0]
        if len(rows):
            issued = _taken(blocks, self._issued)[rows]
            same = (fan[rows, 0] == issued).all(axis=1)
            fan[rows] = widened(fan[rows], ago[rows], self.spec.season)
            fan[rows[same], 0] = issued[same]
        return fan

    def issued(self, states: Bytes) -> Doubles:
        """(B, Q): the next step's quantiles, which the state keeps."""
        return self.spec.layout.view(states, "issued")

    def seen(self, states: Bytes) -> Doubles:
        """(B,): steps folded since the first known value; 0 means that there is no forecast yet."""
        return self.spec.layout.view(states, "seen")[:, 0]

    def alarmed(self, states: Bytes) -> Integers:
        """(B,): steps that a session's drift alarm has lasted, the one that raised it included; 0 = there is none."""
        return alarmed(self.alarms(states))

    def alarms(self, states: Bytes) -> Doubles:
        """(B, 2): what the states keep of their alarms, see `alarmed`."""
        return self.spec.layout.view(states, "drift.alarm") if self.raises_alarms else np.zeros((len(states), 2))

    def finite(self, states: Bytes) -> npt.NDArray[np.bool_]:
        """(B,): whether every number in a state is finite."""
        finite = np.ones(len(states), np.bool_)
        for dtype, start, stop in self.spec.layout.spans:
            sound = np.isfinite(np.ascontiguousarray(states[:, start:stop]).view(dtype))
            if not sound.all():  # session by session takes five times as long
                finite &= sound.all(axis=1)
        return finite

    def _fold(self, blocks: _Arrays, values: Doubles, calendar: Floats) -> _Arrays:
        """The blocks after one step of values (B,)."""
        given = zip(self._given, [*blocks, values[:, None], calendar], strict=True)
        made: _Arrays = self._step.run(self._new, dict(given))
        new = [*blocks]
        for k, block in zip(self._made, made, strict=True):
            new[k] = block
        if self._origin is not None:
            self._renew(self._origin, new)
        if self._known is not None and np.isnan(values).any():
            self._widen(self._known, new)
        return new

    def _renew(self, origin: ort.InferenceSession, blocks: _Arrays) -> None:
        """Keep a new origin of the sessions that are due: at their first step, and then at every `horizon`-th."""
        clock, last = _taken(blocks, self._clock), 0.5**self.spec.horizon
        if clock.min(initial=1.0) > last:  # halved at each step, see `layers.origin`; 0 before the first origin
            return
        due = ((clock <= last) & (_taken(blocks, self._seen) > 0.0)).nonzero()[0]
        if len(due):
            shown = {self._given[k]: blocks[k].take(due, axis=-2) for k in self._given_origin}
            for k, block in zip(self._made_origin, origin.run(None, shown), strict=True):
                if k not in self._made:  # it may still be what the step was given
                    blocks[k] = blocks[k].copy()
                blocks[k][due] = block

    def _widen(self, known: _Place, blocks: _Arrays) -> None:
        """Issue, and keep, the intervals of so long after the last known value where that is not the last one."""
        ago = self._ago(blocks, known)
        rows = ago.nonzero()[0]
        if len(rows):
            these = [block.take(rows, axis=-2) for block in blocks]
            fan = widened(self._fan(these), ago[rows], self.spec.season)
            _taken(blocks, self._issued)[rows] = fan[:, 0]
            if self._kept is not None:
                begun = (_taken(these, self._clock)[:, 0] == 1.0).nonzero()[0]
                later = fan[:, [anchor - 1 for anchor in self.spec.architecture["anchors"][1:]]]
                _taken(blocks, self._kept)[rows[begun]] = later.reshape(len(fan), -1)[begun]

    def _ago(self, blocks: _Arrays, known: _Place) -> Doubles:
        """(B,): steps since the last known value; 0 before the first."""
        ago: Doubles = _taken(blocks, self._seen)[:, 0] - _taken(blocks, known)[:, 1]
        return ago

    def _fan(self, blocks: _Arrays, future: Doubles | None = None) -> Doubles:
        """The fan (B, H, Q) as the graph has it, after the last known value; `future` as in `forecast`."""
        shown = {self._given[k]: blocks[k] for k in self._shown}
        if self.encoding.known:
            row = blocks[self._given.index("covariates")]
            if future is not None:
                row = np.concatenate([row[:, : self.encoding.now], self.encoding.future(future)], axis=1)
            shown["asked"] = row
        fan: Doubles = self._forecast.run(None, shown)[0]
        return fan

    def _place(self, name: str) -> _Place:
        """Where the blocks have the array `name` of the state."""
        at, width, block = self.spec.layout.offsets[name], self.spec.layout.field(name).width, 0
        while at >= self._blocks[block].itemsize:
            at -= self._blocks[block].itemsize
            block += 1
        first = at // self._blocks[block].base.itemsize
        return block, slice(first, first + width)

    def _split(self, states: Bytes) -> _Arrays:
        """The blocks of the states, as the graphs take them."""
        rows = states.view(self._blocks)[:, 0]
        columns = zip(self._given, self._stacked, strict=False)
        return [np.ascontiguousarray(rows[name][None] if stacked else rows[name]) for name, stacked in columns]

    def _joined(self, blocks: _Arrays) -> Bytes:
        rows = np.empty(blocks[0].shape[-2], self._blocks)
        for name, block in zip(self._given, blocks, strict=False):
            rows[name] = block
        return rows.view(np.uint8).reshape(len(rows), -1)


class Running:
    """B sessions that are folded on and on, with the bits of `Model.step`; states are put together on demand."""

    def __init__(self, model: Model, blocks: _Arrays) -> None:
        self._model, self._blocks = model, blocks

    def __len__(self) -> int:
        return int(self._blocks[0].shape[-2])

    def step(self, values: Doubles, calendar: Floats) -> Doubles:
        """Fold one observation of each, (B,) and (B, 5); the next step's quantiles (B, Q)."""
        self._blocks = self._model._fold(self._blocks, values, calendar)
        return np.ascontiguousarray(_taken(self._blocks, self._model._issued))  # else it would hold the whole row

    def states(self, rows: slice | npt.NDArray[np.int64] = ALL) -> Bytes:
        """(B, state_bytes) after the steps so far, of some of the sessions."""
        return self._model._joined([block[..., rows, :] for block in self._blocks])

    def alarms(self) -> Doubles:
        """(B, 2): as `Model.alarms`, after the steps so far."""
        place = self._model._alarms
        return np.zeros((len(self), 2)) if place is None else _taken(self._blocks, place)

    def finite(self) -> npt.NDArray[np.bool_]:
        """(B,): whether every number in a state is finite."""
        finite = np.ones(len(self), np.bool_)
        for block in self._blocks:
            sound = np.isfinite(block)
            if not sound.all():  # session by session takes five times as long
                finite &= sound.all(axis=-1).reshape(-1)
        return finite

    def keep(self, count: int) -> None:
        """Go on with the first ones only."""
        self._blocks = [block[..., :count, :] for block in self._blocks]


def _taken(blocks: _Arrays, place: _Place) -> npt.NDArray[Any]:
    """A view of (B, width) numbers of the blocks."""
    block, columns = place
    return blocks[block][:, columns]


def alarmed(alarm: Doubles) -> Integers:
    """(…): as `Model.alarmed`, of what states keep of their alarms (…, 2), see `layers.drift`."""
    left, lasted = alarm[..., 0], alarm[..., 1]
    return np.where(left >= 1.0, np.maximum(lasted, 1.0), 0.0).round().astype(np.int64)


def _blocks(step: ort.InferenceSession, state_bytes: int) -> tuple[np.dtype[Any], list[bool]]:
    """The state's blocks: what the step's graph takes as one tensor each, and whether that is (1, B, width).

    Raises:
        ValueError: a state of the layout has other bytes.
    """
    given = step.get_inputs()[:-2]  # value and calendar come last
    blocks = np.dtype([(block.name, _DTYPES[block.type], (block.shape[-1],)) for block in given])
    if blocks.itemsize != state_bytes:
        raise ValueError(f"the graph's state has {blocks.itemsize} bytes, the layout's {state_bytes}")
    return blocks, [len(block.shape) > 2 for block in given]


def _places(graph: ort.InferenceSession, names: list[str]) -> tuple[list[int], list[int]]:
    """Which blocks of the state a graph takes, and which it gives, by their places among the names."""
    given, made = graph.get_inputs(), graph.get_outputs()
    return (
        [names.index(block.name) for block in given],
        [names.index(block.name.removeprefix("next_")) for block in made],
    )


def _session(path: Path) -> ort.InferenceSession:
    """A graph on the caller's thread: a step is too small to share, and N workers then need N cores and no more.

    One thread is the caller's own, so the runtime keeps no pool whose threads could spin between steps. A step is
    6 us shorter, at any batch size, where no buffer is used twice in a run.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_reuse = False
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def describe() -> str:
    """The runtime that forecasts' bits depend on: engine, version and processor family."""
    machine = platform.machine().replace("_", "-")
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    family = next((name for feature, name in FAMILIES.items() if feature in found), "")
    return f"onnxruntime {ort.__version__} {machine}{family}"
