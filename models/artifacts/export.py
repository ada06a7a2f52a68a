"""From the torch module to the graphs that serve it: `step.onnx`, `forecast.onnx`, `origin.onnx` where it keeps one."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise, starmap
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.covariates import Encoding
from models.dates.calendar import CALENDAR
from models.layout import StateLayout
from models.mixture import Mixture

STEP, FORECAST, ORIGIN = "step.onnx", "forecast.onnx", "origin.onnx"
ROW = "row"
"""The float64 blocks of a state side by side, as its bytes have them: to hand over each by itself takes longer."""
ASKED = "asked"
OPSET = 18
RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice")
BATCH = "batch"
EXAMPLE_BATCH = 7919
"""Rows in the example that is traced: a size that no other dimension has."""


class Row:
    """The state's blocks as the graphs have them: those of float64 as columns of one row, beside the others."""

    def __init__(self, model: Mixture) -> None:
        fields = {name: block for name, block in model.blocks.items() if block[0].dtype == "<f8"}
        ends = accumulate(sum(field.width for field in block) for block in fields.values())
        self.columns = dict(zip(fields, starmap(slice, pairwise([0, *ends])), strict=True))

    def parted(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The blocks (B, W) that the model knows."""
        beside = {name: block for name, block in given.items() if name != ROW}
        return {name: given[ROW][:, columns] for name, columns in self.columns.items()} | beside

    def joined(self, blocks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse."""
        beside = {name: block for name, block in blocks.items() if name not in self.columns}
        return {ROW: torch.cat([blocks[name] for name in self.columns], dim=1)} | beside


class StepGraph(nn.Module):
    """(state, observation) -> state; the next step's quantiles are a part of the new state."""

    def __init__(self, model: Mixture) -> None:
        super().__init__()
        self.model, self.weights, self.constants = model, model.step_weights(), _lstm_constants(model.recurrence.lstm)
        self.row = Row(model)

    def forward(
        self, given: dict[str, Tensor], rows: Sequence[Tensor], value: Tensor, context: Tensor
    ) -> tuple[Tensor, ...]:
        """`given`: see `Row`; `rows`: hidden states of all layers, then cell states, each (1, B, hidden)."""

        def recur(embedded: Tensor, started: Tensor) -> tuple[Tensor, list[Tensor]]:
            return self._recur(embedded, started, rows)

        past = self.row.parted(given)
        new, recurrent = self.model.fold(value, context, past, self.weights, recur)
        return (*self.row.joined(past | new).values(), *recurrent)

    def _recur(self, embedded: Tensor, started: Tensor, rows: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """By the runtime's own nodes: a sequence of length 0 gives zeros, which costs less than to mask the state."""
        lengths = started.squeeze(1).int()
        layers, top = len(self.constants), embedded.unsqueeze(0)
        hidden, cells = [], []
        for layer, constants in enumerate(self.constants):
            _, top, cell = torch.onnx.ops.symbolic_multi_out(
                "LSTM",
                (top, *constants, lengths, rows[layer].float(), rows[layers + layer].float()),
                {"hidden_size": embedded.shape[1]},
                dtypes=[torch.float32] * 3,
                shapes=[(1, *top.shape), top.shape, top.shape],
                version=OPSET,
            )
            hidden.append(top)
            cells.append(cell)
        new = [row.to(rows[0].dtype) for row in hidden + cells]
        return new[layers - 1].squeeze(0).float(), new


class ForecastGraph(nn.Module):
    """state -> fan (B, H, Q); folds nothing."""

    def __init__(self, model: Mixture) -> None:
        super().__init__()
        self.model, self.row = model, Row(model)

    def forward(self, given: dict[str, Tensor], hidden: Tensor, asked: Tensor | None = None) -> Tensor:
        """`asked`: a row of covariates, of models that know some in advance."""
        return self.model.forecast_of(self.row.parted(given), hidden.squeeze(0).float(), asked)


class OriginGraph(nn.Module):
    """state -> its row with a new origin, where one is due."""

    def __init__(self, model: Mixture) -> None:
        super().__init__()
        self.model, self.weights, self.row = model, model.anchor_weights(), Row(model)

    def forward(self, given: dict[str, Tensor], hidden: Tensor) -> Tensor:
        past = self.row.parted(given)
        return self.row.joined(past | self.model.origin_of(past, hidden.squeeze(0).float(), self.weights))[ROW]


Part = tuple[int, int, onnx.NodeProto]
"""Columns from the first to before the second, and the node that takes them out of a row."""

Example = tuple[Tensor | list[Tensor] | dict[str, Tensor], ...]


def export(model: Mixture, folder: Path) -> StateLayout:
    """Write the graphs of a model in evaluation mode; the layout of the state that they share.

    The step takes the state in the order of its bytes: the row of all that is float64, the row of covariates of models
    that take any in a block of its own, then hidden states and cell states; after these value and calendar. It gives
    the state anew. A model that takes covariates takes a context in place of the calendar: that, and the row of
    covariates.
    """
    state = model.initial_state(EXAMPLE_BATCH)
    rows = list(state.pop("recurrent").unsqueeze(1))
    blocks, top = Row(model).joined(state), model.config.layers - 1
    names = [f"{kind}_{layer}" for kind in ("hidden", "cell") for layer in range(model.config.layers)]
    encoding = Encoding(model.config.covariates, model.config.horizon)
    context = torch.zeros(EXAMPLE_BATCH, CALENDAR + encoding.width)
    observed = (torch.zeros(EXAMPLE_BATCH, 1, dtype=torch.float64), context)
    with torch.no_grad():
        given = [*blocks, *names, "value", "context" if encoding.width else "calendar"]
        made = [f"next_{name}" for name in (*blocks, *names)]
        _write(StepGraph(model), (blocks, rows, *observed), given, made, folder / STEP)
        example: Example = (blocks, rows[top])
        given = [*blocks, names[top]]
        if model.origin is not None:
            _write(OriginGraph(model), example, given, [f"next_{ROW}"], folder / ORIGIN)
        if encoding.known:
            example, given = (*example, torch.zeros(EXAMPLE_BATCH, encoding.width)), [*given, ASKED]
        _write(ForecastGraph(model), example, given, ["fan"], folder / FORECAST)
    return StateLayout(model.fields)


def _write(graph: nn.Module, example: Example, inputs: list[str], outputs: list[str], path: Path) -> None:
    batch = torch.export.Dim(BATCH, min=1)
    axes = torch.utils._pytree.tree_map(lambda tensor: {tensor.shape.index(EXAMPLE_BATCH): batch}, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what it wrote is tested, bit by bit
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph.eval(),
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=axes,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,  # the exporter's optimiser drops small constants that guard a division
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"the exporter wrote no {path.name}")
    proto = program.model_proto
    _join_reshapes(proto)
    _settle_casts(proto)
    _join_bounds(proto)
    _join_slices(proto)
    _drop_unused(proto.graph)
    _drop_origins(proto.graph)
    path.write_bytes(proto.SerializeToString())


def _lstm_constants(lstm: nn.LSTM) -> list[tuple[Tensor, Tensor, Tensor]]:
    """By layer, weights of input and hidden state and bias, in ONNX's order of gates (input, output, forget, cell).

    Left to the exporter, some thirty nodes would reorder them at each run, which the runtime can neither fold nor pack;
    unpacked, a single row also gets other bits than many.
    """
    order = [0, 3, 1, 2]  # of torch's input, forget, cell, output
    layers = []
    for layer in range(lstm.num_layers):
        reordered = {}
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            blocks = getattr(lstm, f"{name}_l{layer}").detach().chunk(4)
            reordered[name] = torch.cat([blocks[gate] for gate in order]).unsqueeze(0)
        bias = torch.cat([reordered["bias_ih"], reordered["bias_hh"]], dim=1)
        layers.append((reordered["weight_ih"], reordered["weight_hh"], bias))
    return layers


def _join_reshapes(proto: onnx.ModelProto) -> None:
    """Let each tensor that only changes its shape do so once, to a constant shape, and not at all where none changes.

    The exporter computes most shapes at each run, though the batch size alone is unknown: -1 stands for it.
    """
    graph = proto.graph
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {info.name: _shape(info) for info in (*inferred.value_info, *inferred.input, *inferred.output)}
    sources: dict[str, str] = {}  # of tensors with the same numbers in the same order
    kept = []
    for node in graph.node:
        before, after = (shapes.get(name) for name in (node.input[0] if node.input else "", node.output[0]))
        if before and after and _keeps_order(node, before, after):
            source = sources[node.output[0]] = sources.get(node.input[0], node.input[0])
            shape = f"{node.output[0]}.shape"
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(after, np.int64), shape))
            kept.append(onnx.helper.make_node("Reshape", [source, shape], [node.output[0]], node.name))
        else:
            if node.op_type == "Reshape":
                node.input[0] = sources.get(node.input[0], node.input[0])
            kept.append(node)
    same = {output: source for output, source in sources.items() if shapes[output] == shapes[source]}
    for node in kept:
        node.input[:] = [same.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)


def _settle_casts(proto: onnx.ModelProto) -> None:
    """Name the type of each cast to the type of another tensor, so that the runtime can fold those of constants."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    types = {info.name: info.type.tensor_type.elem_type for info in (*inferred.value_info, *inferred.input)}
    for node in proto.graph.node:
        if node.op_type == "CastLike":
            constant, like = node.input
            node.CopyFrom(onnx.helper.make_node("Cast", [constant], node.output, node.name, to=types[like]))


def _join_bounds(proto: onnx.ModelProto) -> None:
    """Cut to two bounds in one node, where the exporter writes one for each."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    numbers = {info.name for info in inferred.value_info if _shape(info) == ()}
    makers = {output: node for node in proto.graph.node for output in node.output}
    for node in proto.graph.node:
        below = makers.get(node.input[0]) if node.op_type == "Min" else None
        if below is not None and below.op_type == "Max" and {below.input[1], node.input[1]} <= numbers:
            bounded = [*below.input, node.input[1]]
            node.CopyFrom(onnx.helper.make_node("Clip", bounded, node.output, node.name))


def _join_slices(proto: onnx.ModelProto) -> None:
    """Cut a row into its parts in one node, where the exporter takes each part out by a node of its own."""
    graph = proto.graph
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {info.name: _shape(info) for info in (*inferred.value_info, *inferred.input, *inferred.output)}
    bounds, same = _bounds(graph), dict[str, str]()
    cut: dict[str, dict[tuple[int, int], onnx.NodeProto]] = {}
    for node in graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "Slice" else None
        given = [bounds[name] for name in node.input[1:] if name in bounds]
        if shape and len(shape) == 2 and len(given) == 4 and given[2:] == [1, 1]:
            start, stop, _ = slice(*given[:2]).indices(shape[1])
            if start >= stop:
                continue  # a part that this architecture does not have
            first = cut.setdefault(node.input[0], {}).setdefault((start, stop), node)
            same[node.output[0]] = first.output[0]
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
    for row, parts in cut.items():
        apart, shape = _apart([(*part, node) for part, node in parts.items()]), shapes[row]
        if shape and len(apart) > 1:
            _split(graph, row, shape[1], apart)


def _apart(parts: list[Part]) -> list[Part]:
    """Those in their order that share no column, the longer ones before the shorter."""
    kept: list[Part] = []
    for start, stop, node in sorted(parts, key=lambda part: part[0] - part[1]):
        if all(stop <= other[0] or start >= other[1] for other in kept):
            kept.append((start, stop, node))
    return sorted(kept, key=lambda part: part[0])


def _split(graph: onnx.GraphProto, row: str, width: int, parts: Sequence[Part]) -> None:
    """Replace the nodes that take out parts of a row, which are in order and apart, by one that cuts all of it."""
    names, edges = [], [0]
    for start, stop, node in parts:
        names += [f"{row}.before_{start}"] * (start > edges[-1]) + [node.output[0]]
        edges += [start] * (start > edges[-1]) + [stop]
    names += [f"{row}.rest"] * (width > edges[-1])
    sizes = np.diff([*edges, width] if width > edges[-1] else edges)
    graph.initializer.append(onnx.numpy_helper.from_array(sizes.astype(np.int64), f"{row}.sizes"))
    nodes = [node for _, _, node in parts]
    first = min(place for place, node in enumerate(graph.node) if node in nodes)
    for node in nodes:
        graph.node.remove(node)
    graph.node.insert(first, onnx.helper.make_node("Split", [row, f"{row}.sizes"], names, f"{row}.parts", axis=1))


def _bounds(graph: onnx.GraphProto) -> dict[str, int]:
    """Whole numbers that the exporter puts down as constants, casts and reshapes of them, by name."""
    found: dict[str, int] = {}
    for constant in graph.initializer:
        if math.prod(constant.dims) == 1 and constant.data_type == onnx.TensorProto.INT64:
            found[constant.name] = int(onnx.numpy_helper.to_array(constant).item())
    for node in graph.node:
        if node.op_type == "Constant":
            [attribute] = node.attribute
            value = onnx.helper.get_attribute_value(attribute)
            tensor = attribute.type == onnx.AttributeProto.TENSOR
            numbers = np.asarray(onnx.numpy_helper.to_array(value) if tensor else value)
            if numbers.size == 1 and numbers.dtype.kind == "i":
                found[node.output[0]] = int(numbers.item())
        elif node.op_type in ("Cast", "Reshape") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """With -1 for the batch size; None where another dimension is unknown."""
    dims = info.type.tensor_type.shape.dim
    if any(not dim.HasField("dim_value") and dim.dim_param != BATCH for dim in dims):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)


def _keeps_order(node: onnx.NodeProto, before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a node changes nothing but the shape, or not even that."""
    if node.op_type == "Slice":  # torch's slices go forwards; only its flip becomes one that turns the order
        return before == after and "flip" not in node.name
    if node.op_type == "Transpose":
        [order] = (attribute.ints for attribute in node.attribute)
        wide = [axis for axis in order if before[axis] != 1]
        return wide == sorted(wide)
    return node.op_type in RESHAPES


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes that nothing leads from to an output; the runtime would compute them at each run."""
    used = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _drop_origins(graph: onnx.GraphProto) -> None:
    """Remove what the exporter notes beside the nodes: stack traces with this machine's paths, most of the file."""
    for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        noted.ClearField("metadata_props")
