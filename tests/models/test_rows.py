from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.artifacts.artifact import SHIPPED, find
from models.layers.averages import Mean, rates
from models.layers.rows import row_asinh, row_log


def test_asinh_by_logarithms_is_asinh_for_numbers_of_every_size() -> None:
    x = torch.tensor([[0.0, 1e-38, -1e-9, 0.3, -1.0, 2e3, -1e12, 1e18]])
    assert np.allclose(row_asinh(x).numpy(), np.arcsinh(x.double().numpy()), rtol=2e-7, atol=1e-7)


def test_a_row_of_logarithms_that_is_no_whole_fours_is_refused() -> None:
    with pytest.raises(ValueError, match="6 columns"):
        row_log(torch.ones(2, 6))


def test_means_are_plain_until_their_span_and_a_stand_in_teaches_some_of_them_nothing() -> None:
    series = [8.0, 4.0, 6.0, 2.0, 10.0]
    moving = [Mean(0.25), Mean(0.25, late=1), Mean(0.5, every=2), Mean(0.25, skips=True), Mean(0.0)]
    table = rates(moving, last=len(series))
    means = torch.zeros(len(moving), dtype=torch.float64)
    after = []
    for seen, value in enumerate(series, start=1):
        means = means + table[int(seen == 2), seen] * (value - means)
        after.append(means.tolist())
    plain, late, sparse, skipping, still = zip(*after, strict=True)
    assert plain[3] == np.mean(series[:4])
    assert plain[4] == plain[3] + 0.25 * (10.0 - plain[3])
    assert late[4] == np.mean(series[1:])
    assert sparse[0] == 0.0
    assert sparse[3] == sparse[2] + 0.5 * (2.0 - sparse[2])
    assert skipping[1] == skipping[0]
    assert not any(still)


def test_a_rate_stays_what_it_is_when_its_mean_has_settled() -> None:
    moving = [Mean(0.07, every=7), Mean(0.01, late=1), Mean(1.0), Mean(0.0)]
    for mean in moving:
        assert mean.at(mean.settled) == mean.at(mean.settled + 1000) == mean.rate
        assert mean.settled < 2 or mean.at(mean.settled - 1) > mean.rate or mean.rate == 1.0


@pytest.mark.parametrize("folder", find([SHIPPED]), ids=lambda folder: f"{folder.parent.name}@{folder.name}")
def test_the_graph_of_a_step_computes_no_shapes_and_builds_no_sequences(folder: Path) -> None:
    operators = {node.op_type for node in onnx.load(folder / "step.onnx").graph.node}
    assert not operators & {"Shape", "Expand", "CastLike", "SplitToSequence", "SequenceAt"}
