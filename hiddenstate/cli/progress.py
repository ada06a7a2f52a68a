"""How far a long run through a file is: rows, rows a second, time left. Shown on a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from hiddenstate.cli import output


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")


@contextmanager
def rows_done(total: int) -> Iterator[Callable[[int], None]]:
    """A function to tell numbers of rows that were worked off."""
    console = output.messages()
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), _Speed(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda rows: progress.advance(task, rows)
