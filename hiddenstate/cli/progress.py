"""How far a long run is: rows or sessions, how many a second, time left."""

import signal
import time
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


class Estimate:
    """How long a run still takes, from how far it has come since it was first asked.

    Args:
        now_s: a clock.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began: tuple[float, float] | None = None

    def left(self, done: float) -> str:
        """Such as ", 12 min left", of a run of which this part (0 to 1) is done; "" while nobody can tell."""
        now_s = self._now_s()
        if self._began is None:
            self._began = done, now_s
        first, began_s = self._began
        if done <= first:
            return ""
        return f", {_span(max(1.0 - done, 0.0) * (now_s - began_s) / (done - first))} left"


def _span(seconds: float) -> str:
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90.0 * 60 else f"{seconds / 3600:.1f} h"


@contextmanager
def rows_done(total: int | None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """A function to tell numbers of rows that were worked off, shown on a terminal; ends a run where Ctrl-C did not.

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
