"""Workers tell each other whether they take new connections: at a stop, each waits for all."""

from service.monitoring.cells import Cells
from service.monitoring.meters import Layout, Meters


def test_a_service_listens_until_its_last_worker_has_told_that_it_does_not() -> None:
    layout = Layout([])
    cells = Cells(2, layout.columns)
    first, second = (Meters(layout, cells, number) for number in range(2))
    assert first.listening == 2
    first.set_listening(False)
    first.set_listening(False)
    assert second.listening == first.listening == 1
    second.set_listening(False)
    assert second.listening == first.listening == 0


def test_a_worker_in_the_place_of_a_dead_one_listens_in_its_place() -> None:
    layout = Layout([])
    cells = Cells(2, layout.columns)
    first, _, again = (Meters(layout, cells, number) for number in (0, 1, 1))
    assert first.listening == again.listening == 2
