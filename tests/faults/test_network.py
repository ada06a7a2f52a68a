"""A bad network between the service and its server, in the short form."""

import pytest

from tests.faults.network import SLOW, WAYS, run
from tests.faults.proxy import end_of_value

SEED, OBSERVATIONS = 3, 800


@pytest.mark.parametrize("way", WAYS)
async def test_no_observation_is_lost_folded_twice_or_late_over_a_bad_network(way: str) -> None:
    seen = await run(way, OBSERVATIONS, SEED)
    print(f"seed {SEED}: {seen}")
    assert seen.wrong == []
    assert seen.acknowledged == seen.checked == OBSERVATIONS
    assert way == SLOW or seen.dealt.total() > 0


@pytest.mark.parametrize(
    "value",
    [b"+OK\r\n", b":7\r\n", b"-ERR\r\n", b"$3\r\na\r\n\r\n", b"$-1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", b"*0\r\n"],
)
def test_a_value_ends_where_it_does_and_no_sooner(value: bytes) -> None:
    assert end_of_value(value + b"+next\r\n", 0) == len(value)
    assert [end_of_value(value[:size], 0) for size in range(len(value))] == [None] * len(value)
