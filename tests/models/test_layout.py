import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifacts.runtime import Model
from models.layout import DTYPES, Field, StateLayout

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
layouts = st.lists(st.tuples(st.sampled_from(DTYPES), shapes), min_size=1, max_size=8).map(
    lambda arrays: StateLayout(Field(f"array.{n}", dtype, shape) for n, (dtype, shape) in enumerate(arrays))
)


@given(layouts)
def test_arrays_lie_side_by_side_the_widest_first(layout: StateLayout) -> None:
    end = 0
    for field in layout.fields:
        assert layout.offsets[field.name] == end
        end += field.size
    assert layout.size == end == layout.spans[-1][2]
    assert [f.dtype for f in layout.fields] == sorted((f.dtype for f in layout.fields), reverse=True)


@given(layouts)
def test_spans_hold_the_arrays_of_one_type_each(layout: StateLayout) -> None:
    spans = {dtype: end - start for dtype, start, end in layout.spans}
    assert spans == {dtype: sum(f.size for f in layout.fields if f.dtype == dtype) for dtype in spans}
    assert len(spans) == len(layout.spans) == len({f.dtype for f in layout.fields})


@given(layouts)
def test_a_described_layout_parses_to_itself(layout: StateLayout) -> None:
    parsed = StateLayout.parse(layout.describe())
    assert parsed.fields == layout.fields
    assert parsed.describe() == layout.describe()


def test_a_view_holds_the_bytes_of_its_array() -> None:
    layout = StateLayout([Field("h", "<f4", (2, 3)), Field("seen", "<f8", (1,))])
    states = np.zeros((2, layout.size), np.uint8)
    states[1, 8:] = np.arange(6, dtype="<f4").view(np.uint8)
    states[1, :8] = np.array([7.0], "<f8").view(np.uint8)
    assert layout.view(states, "seen").tolist() == [[0.0], [7.0]]
    assert layout.view(states, "h").tolist() == [[[0.0] * 3] * 2, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]


def test_a_layout_refuses_a_name_twice_a_foreign_type_and_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="one name"):
        StateLayout([Field("h", "<f4", (1,)), Field("h", "<f8", (1,))])
    with pytest.raises(ValueError, match="<f8, <f4, <f2"):
        StateLayout([Field("h", "<i8", (1,))])
    with pytest.raises(KeyError):
        StateLayout([Field("h", "<f4", (1,))]).field("c")


def test_a_description_with_other_offsets_is_refused(model: Model) -> None:
    described = model.spec.layout.describe()
    described[1]["offset"] += 8
    with pytest.raises(ValueError, match="offsets"):
        StateLayout.parse(described)
