import pytest

from bench.profile import LOOP, Counted, Function, of_functions, of_stacks

RUN = "main (/x/hiddenstate/__main__.py:3);run (/x/uvicorn/server.py:86);run (/lib/asyncio/runners.py:118)"


def test_time_in_a_library_belongs_to_the_part_that_called_it() -> None:
    stacks = [
        f"{RUN} 5",
        f"{RUN};wave (/x/service/sessions/waves/forecaster.py:72);dumps (/lib/json/encoder.py:1) 3",
        f"{RUN};wave (/x/service/sessions/waves/waves.py:7);run (/x/service/storage/store.py:9);gather (/lib/a.py:1) 2",
        f"{RUN};advance (/x/service/wire/render.py:72) 1",
        "wait (/lib/python3.11/threading.py:327) 100",
    ]
    assert of_stacks(stacks) == {LOOP: 5, "packing records": 3, "store": 2, "rendering answers": 1}


def test_counted_time_in_a_library_is_shared_out_among_those_that_called_it() -> None:
    loop, wave, store, library = (
        (path, 1, "f")
        for path in ("/lib/asyncio/runners.py", "/x/service/sessions/waves/waves.py", "/x/service/storage/s.py", "~")
    )
    stats: dict[Function, Counted] = {
        loop: (1, 1, 4.0, 10.0, {}),
        wave: (1, 1, 1.0, 3.0, {loop: (1, 1, 1.0, 3.0)}),
        store: (1, 1, 1.0, 5.0, {loop: (1, 1, 1.0, 5.0)}),
        library: (2, 2, 8.0, 8.0, {wave: (1, 1, 2.0, 2.0), store: (1, 1, 6.0, 6.0)}),
    }
    assert of_functions(stats) == pytest.approx({LOOP: 4.0, "planning": 3.0, "store": 7.0})
