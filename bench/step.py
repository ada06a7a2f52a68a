"""The whole compiled step beside a bare two-layer LSTM(64) step, under the same runtime and in the same run.

python -m bench.step [--model models/shipped/daily/1 | --random LAYERS [--state float16]] [--mixed]

The times are the thread's own on its processor: what other programs do meanwhile hardly changes them. Sessions are
folded on and on, so what a model does once in so many steps has its share. --mixed lets them begin one after the other,
so that some session of a batch is always due for that.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper

from models.artifacts import artifact
from models.artifacts.artifact import Description
from models.artifacts.runtime import Bytes, Doubles, Floats, Model
from models.dates.calendar import CALENDAR
from models.mixture import STATE_DTYPES, Mixture, MixtureConfig

HIDDEN, LAYERS = 64, 2
BATCHES = (1, 4, 8, 16, 64, 256, 512)
ROUNDS, RUNS = 40, 20
AGE = 60
"""Steps that sessions have seen before they are timed."""

PEAK_SIZE = 1024


def bare_lstm() -> ort.InferenceSession:
    """Two layers of LSTM(64), one step, the state given and returned."""
    rng = np.random.default_rng(0)
    nodes, constants, top = [], [], "x"
    for k in range(LAYERS):
        shapes = {f"W{k}": (1, 4 * HIDDEN, HIDDEN), f"R{k}": (1, 4 * HIDDEN, HIDDEN), f"B{k}": (1, 8 * HIDDEN)}
        for name, shape in shapes.items():
            weights = rng.uniform(-0.125, 0.125, shape).astype(np.float32)
            constants.append(onnx.numpy_helper.from_array(weights, name))
        inputs = [top, *shapes, "", f"h{k}", f"c{k}"]
        nodes.append(helper.make_node("LSTM", inputs, ["", f"next_h{k}", f"next_c{k}"], hidden_size=HIDDEN))
        top = f"next_h{k}"
    names = [f"{part}{k}" for k in range(LAYERS) for part in "hc"]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "batch", HIDDEN]) for name in ("x", *names)]
    made = [helper.make_tensor_value_info(f"next_{name}", TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph(nodes, "bare", given, made, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_reuse = False
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def micros(run: Callable[[], object], runs: int = RUNS) -> float:
    """Microseconds of processor time of one run, over a few."""
    start = time.thread_time()
    for _ in range(runs):
        run()
    return (time.thread_time() - start) / runs * 1e6


@dataclass(frozen=True, slots=True)
class StepTime:
    """Medians at one batch size: the whole step, the bare LSTM, and the share of peak sgemm its products reach."""

    batch: int
    step_us: float
    bare_us: float
    ratio: float
    of_peak: float

    @property
    def steps_per_s(self) -> float:
        return self.batch / self.step_us * 1e6

    def __str__(self) -> str:
        return (
            f"batch {self.batch:4d}: step {self.step_us:7.1f} us, bare LSTM {self.bare_us:7.1f} us, "
            f"ratio {self.ratio:.2f}, {self.steps_per_s:9,.0f} steps/s, {self.of_peak:.1%} of peak sgemm"
        )


@dataclass(slots=True)
class Folded:
    """Sessions that are folded on and on."""

    model: Model
    states: Bytes
    values: Doubles
    calendar: Floats

    def step(self) -> None:
        """Fold the same values once more."""
        self.states, _ = self.model.step(self.states, self.values, self.calendar)


def multiplications(path: Path) -> int:
    """Of numbers, in the matrix products of one row of a compiled step."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    sizes = {constant.name: math.prod(constant.dims) for constant in graph.initializer}
    for info in graph.value_info:
        sizes.setdefault(info.name, math.prod(dim.dim_value for dim in info.type.tensor_type.shape.dim))
    weights = [
        node.input[1:3] if node.op_type == "LSTM" else node.input[1:2] for node in graph.node if _multiplies(node)
    ]
    return sum(sizes[name] for names in weights for name in names)


def _multiplies(node: onnx.NodeProto) -> bool:
    return node.op_type in ("LSTM", "Gemm", "MatMul")


def peak_sgemm() -> float:
    """Multiplications of float32 per microsecond that one thread reaches on large matrices."""
    torch.set_num_threads(1)
    a, b = torch.randn(2, PEAK_SIZE, PEAK_SIZE)
    return PEAK_SIZE**3 / min(micros(lambda: a @ b, 3) for _ in range(5))


def measure(
    folder: Path, batches: Sequence[int] = BATCHES, rounds: int = ROUNDS, *, mixed: bool = False
) -> Iterator[StepTime]:
    """Time the model in `folder` beside the bare LSTM, in turns; sessions are of one age, or of mixed ones."""
    model, lstm, peak = artifact.load(folder), bare_lstm(), peak_sgemm()
    products = multiplications(folder / "step.onnx")
    for batch in batches:
        rng = np.random.default_rng(batch)
        running, calendar = model.running(model.initial_state(batch)), np.zeros((batch, CALENDAR), np.float32)
        begins = np.arange(batch) % model.spec.horizon * mixed
        for t in range(AGE):
            values = rng.standard_normal(batch)
            running.step(np.where(begins > t, np.nan, values), calendar)
        folded = Folded(model, running.states(), values, calendar)
        feeds = {f"{part}{k}": np.zeros((1, batch, HIDDEN), np.float32) for k in range(LAYERS) for part in "hc"}
        feeds["x"] = rng.standard_normal((1, batch, HIDDEN)).astype(np.float32)
        alone = partial(lstm.run, None, feeds)
        pairs = [(micros(folded.step), micros(alone)) for _ in range(rounds)]
        step, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        yield StepTime(batch, step, bare, ratio, batch * products / step / peak)


def table(times: Sequence[StepTime]) -> list[str]:
    """Markdown."""
    lines = [
        "| batch | step, us | bare 2-layer LSTM(64), us | ratio | steps/s | of peak sgemm |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return lines + [
        f"| {one.batch} | {one.step_us:.1f} | {one.bare_us:.1f} | {one.ratio:.2f} | {one.steps_per_s:,.0f} "
        f"| {one.of_peak:.1%} |"
        for one in times
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "1")
    parser.add_argument("--random", type=int, metavar="LAYERS", help="a model of 64 with random weights instead")
    parser.add_argument("--state", choices=STATE_DTYPES, default="float32", help="of the random model")
    parser.add_argument("--mixed", action="store_true", help="sessions of mixed ages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.model
        if arguments.random:
            config = MixtureConfig(hidden=HIDDEN, layers=arguments.random, state=arguments.state)
            described = Description("random", 1, ["D"], config.warm_up, "")
            folder = artifact.publish(Mixture(config), described, Path(scratch))
        spec = artifact.load(folder).spec
        print(f"{spec.label}: {spec.state_bytes} bytes of state; one thread, medians of {ROUNDS} rounds")
        for time_of_batch in measure(folder, mixed=arguments.mixed):
            print(time_of_batch, flush=True)


if __name__ == "__main__":
    main()
