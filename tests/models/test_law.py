import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from models.artifacts import law
from models.artifacts.artifact import SHIPPED, find, load, load_module
from models.artifacts.law import LawBroken
from models.artifacts.runtime import Model
from models.mixture import Mixture, MixtureConfig
from tests.golden.publish_models import ROOT, random_module
from tests.models.compiling import compiled
from tests.models.sessions import TOLERANCE, difference, served, unrolled, week_features
from tests.models.shapes import SHAPES

SIZES = {1: (8, 13, 40, 64, 128), 2: (16, 31, 100), 3: (20, 72)}
"""Units by number of layers: multiples of what the processor adds at once, and others.

Each takes ten seconds to export; what is published in another size is checked then.
"""
RANDOM = [MixtureConfig(hidden=hidden, layers=layers) for layers, sizes in SIZES.items() for hidden in sizes]
RANDOM += [MixtureConfig(hidden=hidden, layers=layers, state="float16") for layers, hidden in ((1, 64), (2, 31))]
RANDOM += [MixtureConfig(hidden=8, season=season, horizon=3) for season in (1, 2, 24)]
RANDOM += list(SHAPES.values())


def label(config: MixtureConfig) -> str:
    return f"{config.layers}x{config.hidden}-{config.state}-{config.season}-{config.far}"


def test_the_package_ships_a_model() -> None:
    assert find([SHIPPED])


@pytest.mark.parametrize("folder", find([SHIPPED]), ids=lambda folder: f"{folder.parent.name}@{folder.name}")
def test_a_shipped_model_keeps_the_law(folder: Path) -> None:
    law.check(load(folder), seed=1)


@pytest.mark.parametrize("folder", find([SHIPPED]), ids=lambda folder: f"{folder.parent.name}@{folder.name}")
def test_a_shipped_model_serves_what_its_unrolled_module_forecasts(folder: Path) -> None:
    assert served_against_unrolled(load(folder), load_module(folder)) <= TOLERANCE


@pytest.mark.parametrize("config", RANDOM, ids=label)
def test_a_random_model_keeps_the_law_and_serves_what_its_unrolled_module_forecasts(
    config: MixtureConfig, tmp_path: Path
) -> None:
    module = random_module(config, seed=100 * config.layers + config.hidden)
    model = compiled(module, tmp_path)
    law.check(model)
    assert served_against_unrolled(model, module) <= model.spec.tolerance


def test_a_float16_state_is_the_float32_one_rounded_at_each_step(tmp_path: Path) -> None:
    module = random_module(MixtureConfig(hidden=16, layers=2), seed=7)
    rounding = random_module(MixtureConfig(hidden=16, layers=2, state="float16"), seed=7)
    precise, rounded = compiled(module, tmp_path / "precise"), compiled(rounding, tmp_path / "rounded")
    assert precise.spec.state_bytes - rounded.spec.state_bytes == 2 * 2 * 2 * 16
    value, calendar = np.array([3.0]), week_features(1, 1)[0]
    first, second = (model.step(model.initial_state(1), value, calendar)[0] for model in (precise, rounded))
    for name in ("lstm.h", "lstm.c"):
        before, after = precise.spec.layout.view(first, name), rounded.spec.layout.view(second, name)
        assert after.dtype == np.float16
        assert (after == before.astype(np.float16)).all()
    assert (precise.issued(first) != rounded.issued(second)).any()


Rewriting = Callable[[onnx.NodeProto], list[onnx.NodeProto]]


def nodes(*lines: str) -> list[onnx.NodeProto]:
    """ONNX nodes, each written as `Operator inputs -> output`."""
    made = []
    for line in lines:
        operator, *inputs, _, output = line.split()
        made.append(onnx.helper.make_node(operator, inputs, [output]))
    return made


def rewritten(folder: Path, name: str, rewriting: Rewriting, **constants: npt.NDArray[Any]) -> Model:
    """The runtime on an artifact of whose graph `name` each node is replaced by what `rewriting` makes of it."""
    spec = load(folder).spec
    proto = onnx.load(folder / name)
    changed = [after for before in proto.graph.node for after in rewriting(before)]
    del proto.graph.node[:]
    proto.graph.node.extend(changed)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, key) for key, array in constants.items())
    onnx.save(proto, folder / name)
    return Model(spec, folder)


def instead_of(output: str, *lines: str) -> Rewriting:
    """Leave the node that gives `output` to give `given`, and let the nodes in `lines` make `output` of that."""

    def rewriting(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if output not in node.output:
            return [node]
        node.output[list(node.output).index(output)] = "given"
        return [node, *nodes(*lines)]

    return rewriting


def of_a_wider_row(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Take logarithms of one column more than whole fours, the first, and drop it again."""
    if node.op_type != "Log":
        return [node]
    [row], [logs] = node.input, node.output
    wide, wider = f"{logs}.wide", f"{logs}.wider"
    return nodes(f"Pad {row} more -> {wide}", f"Log {wide} -> {wider}", f"Slice {wider} first last columns -> {logs}")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An artifact to rewrite."""
    return Path(shutil.copytree(ROOT / "one-layer" / "1", tmp_path / "1"))


def test_an_operator_whose_bits_depend_on_the_batch_size_breaks_the_law(copy: Path) -> None:
    more, columns = np.array([0, 1, 0, 0]), np.array([1])
    first, last = np.array([1]), np.array([1000])
    model = rewritten(copy, "step.onnx", of_a_wider_row, more=more, columns=columns, first=first, last=last)
    with pytest.raises(LawBroken, match="sessions in a batch have other bits"):
        law.check(model)


def test_rows_that_see_each_other_break_the_law(copy: Path) -> None:
    def leaking(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if "calendar" not in node.input:
            return [node]
        mean, leaky = f"{node.output[0]}.mean", f"{node.output[0]}.leaky"
        node.input[list(node.input).index("calendar")] = leaky
        return [*nodes(f"ReduceMean calendar rows -> {mean}", f"Add calendar {mean} -> {leaky}"), node]

    model = rewritten(copy, "step.onnx", leaking, rows=np.array([0]))
    with pytest.raises(LawBroken, match="sessions in a batch have other bits"):
        law.check(model)


def test_a_fan_that_is_not_what_the_step_issued_breaks_the_law(copy: Path) -> None:
    model = rewritten(copy, "forecast.onnx", instead_of("fan", "Mul given more -> fan"), more=np.array(1.0 + 1e-15))
    with pytest.raises(LawBroken, match="first step is not the forecast that the step issued"):
        law.check(model)


@pytest.mark.parametrize(("name", "output"), [("step.onnx", "next_issued"), ("forecast.onnx", "fan")])
def test_a_forecast_that_is_not_finite_breaks_the_law(copy: Path, name: str, output: str) -> None:
    model = rewritten(copy, name, instead_of(output, f"Mul given endless -> {output}"), endless=np.array(np.inf))
    with pytest.raises(LawBroken, match="not finite"):
        law.check(model)


def served_against_unrolled(model: Model, module: Mixture) -> float:
    values = law.difficult_series(np.random.default_rng(3), 12, 40)
    calendar = week_features(*values.shape)
    issued, sizes, states = served(model, values, calendar, module)
    expected, fan = unrolled(module, values, calendar)
    return max(difference(issued, expected, sizes), difference(model.forecast(states), fan, sizes[:, -1:]))
