"""How far a long run is: rows or sessions, how many a second, time left. Shown on a terminal only."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from hiddenstate.cli import output


class _Speed(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._unit}/s")


@contextmanager
def rows_done(total: int | None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """A function to tell numbers of rows that were worked off; it ends the run where Ctrl-C did not.

    Args:
        total: of them; None = nobody knows.
        unit: what is counted, if not rows.
    """
    console = output.messages()
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), _Speed(unit), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        interrupted = False

        def interrupt(*_: object) -> None:
            # What is raised while an object is being finalised is lost, so it is written down as well.
            nonlocal interrupted
            interrupted = True
            raise KeyboardInterrupt

        def done(rows: int) -> None:
            progress.advance(task, rows)
            if interrupted:
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield done
        finally:
            signal.signal(signal.SIGINT, before)
