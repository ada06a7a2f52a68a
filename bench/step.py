"""The whole compiled step beside a bare two-layer LSTM(64) step, under the same runtime and in the same run.

python -m bench.step [--model models/shipped/daily/1]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from models.artifacts import artifact
from models.dates.calendar import CALENDAR

HIDDEN, LAYERS = 64, 2
BATCHES = (1, 4, 16, 64, 256)
ROUNDS, RUNS = 40, 20


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
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def micros(run: Callable[[], object]) -> float:
    """Microseconds of one run, over a few."""
    start = time.perf_counter()
    for _ in range(RUNS):
        run()
    return (time.perf_counter() - start) / RUNS * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "1")
    model = artifact.load(parser.parse_args().model)
    lstm = bare_lstm()
    print(f"{model.spec.label}: {model.spec.state_bytes} bytes of state; one thread, medians of {ROUNDS} rounds")
    for batch in BATCHES:
        rng = np.random.default_rng(batch)
        states, calendar = model.initial_state(batch), np.zeros((batch, CALENDAR), np.float32)
        for _ in range(40):
            values = rng.standard_normal(batch)
            states, _ = model.step(states, values, calendar)
        feeds = {f"{part}{k}": np.zeros((1, batch, HIDDEN), np.float32) for k in range(LAYERS) for part in "hc"}
        feeds["x"] = rng.standard_normal((1, batch, HIDDEN)).astype(np.float32)
        pairs = [
            (micros(lambda: model.step(states, values, calendar)), micros(lambda: lstm.run(None, feeds)))  # noqa: B023
            for _ in range(ROUNDS)
        ]
        step, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"batch {batch:4d}: step {step:7.1f} us, bare LSTM {bare:7.1f} us, ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
