"""From the torch module to the two graphs that serve it: `step.onnx` and `forecast.onnx`."""

from __future__ import annotations

import logging
import warnings
from itertools import accumulate
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.dates.calendar import CALENDAR
from models.fold import TORCH_DTYPES, State
from models.layout import StateLayout
from models.mixture import Mixture

OPSET = 18
RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice")
BATCH = "batch"
EXAMPLE_BATCH = 3
"""Rows in the example that is traced; neither 0 nor 1, which the exporter would take for constants."""


class Blocks:
    """The state as the graphs take it: one float64 and one float32 block, (B, doubles) and (B, floats)."""

    def __init__(self, layout: StateLayout) -> None:
        self.layout = layout

    def split(self, doubles: Tensor, floats: Tensor) -> State:
        """The named arrays of both blocks."""
        state: State = {}
        for dtype, block in (("<f8", doubles), ("<f4", floats)):
            fields = [f for f in self.layout.fields if f.dtype == dtype]
            edges = list(accumulate(f.width for f in fields))[:-1]
            parts = block.tensor_split(edges, dim=1)
            state |= {f.name: part.reshape(-1, *f.shape) for f, part in zip(fields, parts, strict=True)}
        return state

    def join(self, state: State) -> tuple[Tensor, Tensor]:
        """Both blocks of the named arrays."""
        blocks = ([state[f.name].flatten(1) for f in self.layout.fields if f.dtype == dtype] for dtype in TORCH_DTYPES)
        doubles, floats = (torch.cat(block, dim=1) for block in blocks)
        return doubles, floats


class StepGraph(nn.Module):
    """(state, observation) -> state; the next step's quantiles are the array `issued` of the new state."""

    def __init__(self, model: Mixture, blocks: Blocks) -> None:
        super().__init__()
        self.model, self.blocks = model, blocks

    def forward(self, doubles: Tensor, floats: Tensor, value: Tensor, calendar: Tensor) -> tuple[Tensor, Tensor]:
        _, state = self.model.step((value, calendar), self.blocks.split(doubles, floats))
        return self.blocks.join(state)


class ForecastGraph(nn.Module):
    """state -> fan (B, H, Q); folds nothing."""

    def __init__(self, model: Mixture, blocks: Blocks) -> None:
        super().__init__()
        self.model, self.blocks = model, blocks

    def forward(self, doubles: Tensor, floats: Tensor) -> Tensor:
        return self.model.forecast(self.blocks.split(doubles, floats))


def export(model: Mixture, folder: Path) -> StateLayout:
    """Write `step.onnx` and `forecast.onnx` of a model in evaluation mode; the layout of the state that they share."""
    layout = StateLayout(model.fields)
    blocks = Blocks(layout)
    doubles, floats = blocks.join(model.initial_state(EXAMPLE_BATCH))
    value = torch.zeros(EXAMPLE_BATCH, dtype=torch.float64)
    calendar = torch.zeros(EXAMPLE_BATCH, CALENDAR)
    _write(
        StepGraph(model, blocks),
        {"doubles": doubles, "floats": floats, "value": value, "calendar": calendar},
        ["next_doubles", "next_floats"],
        model.recurrence.lstm,
        folder / "step.onnx",
    )
    state = {"doubles": doubles, "floats": floats}
    _write(ForecastGraph(model, blocks), state, ["fan"], model.recurrence.lstm, folder / "forecast.onnx")
    return layout


def _write(graph: nn.Module, inputs: dict[str, Tensor], outputs: list[str], recurrence: nn.LSTM, path: Path) -> None:
    batch = torch.export.Dim(BATCH, min=1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what it wrote is tested, bit by bit
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,  # the exporter's optimiser drops small constants that guard a division
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"the exporter wrote no {path.name}")
    proto = program.model_proto
    for layer, node in enumerate(node for node in proto.graph.node if node.op_type == "LSTM"):
        _fix_weights(proto.graph, node, layer, recurrence)
    _join_reshapes(proto)
    _settle_casts(proto)
    _drop_unused(proto.graph)
    _drop_origins(proto.graph)
    path.write_bytes(proto.SerializeToString())


def _fix_weights(graph: onnx.GraphProto, node: onnx.NodeProto, layer: int, lstm: nn.LSTM) -> None:
    """Give an LSTM node its weights as constants, in ONNX's order of gates (input, output, forget, cell).

    The exporter leaves them as some thirty nodes that reorder them at each run, which the runtime can neither fold nor
    pack; unpacked, a single row also gets other bits than many.
    """
    order = [0, 3, 1, 2]  # of torch's input, forget, cell, output
    reordered = {}
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        blocks = getattr(lstm, f"{name}_l{layer}").detach().chunk(4)
        reordered[name] = torch.cat([blocks[gate] for gate in order]).unsqueeze(0)
    bias = torch.cat([reordered["bias_ih"], reordered["bias_hh"]], dim=1)
    constants = (reordered["weight_ih"], reordered["weight_hh"], bias)
    for position, (role, tensor) in enumerate(zip("WRB", constants, strict=True), start=1):
        name = f"lstm_{layer}_{role}"
        graph.initializer.append(onnx.numpy_helper.from_array(tensor.numpy(), name))
        node.input[position] = name


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
