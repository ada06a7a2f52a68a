"""The report as one page of HTML that needs nothing else."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from models.evaluation.classical import LIBRARY
from models.evaluation.rows import HORIZON, STREAM, of_horizon, of_stream
from models.evaluation.streaming import Evaluation, Row
from models.evaluation.verdict import Verdict
from models.report.figures import coverage_chart, fan_chart, horizon_chart
from models.report.findings import Comparison, Findings, SeriesScore

FANS = 3
"""Of the best and of the worst series."""

LISTED = 10
"""The same, in the table."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .7rem; text-align: right; }
th { border-bottom: 1px solid #999; } td:first-child, th:first-child,
.scores td:nth-child(2), .scores th:nth-child(2) { text-align: left; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem; } .verdict { font-size: 1.15rem; font-weight: 600; }
"""

NAMES = ("collection", "forecaster")
Cells = Sequence[str]


def page(evaluation: Evaluation, findings: Findings, verdict: Verdict, notes: Sequence[str] = ()) -> str:
    """HTML: the verdict, figures and tables.

    Args:
        notes: what was said of the series before the training.
    """
    ranked, comparison = findings.by_series(), findings.comparison()
    best, worst = ranked[:FANS], ranked[::-1][: max(min(FANS, len(ranked) - FANS), 0)]
    parts = [
        f"<h1>{escape(findings.label)}</h1>",
        f'<p class="verdict">{escape(str(verdict))}.</p>',
        *([f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"] if notes else []),
        "<h2>Beside other forecasts</h2>",
        "<p>One step ahead over the test part, predict then observe. relMAE: error over that of repeating the last "
        "value, geometric mean over series. MASE: error over the mean step of the training part. Alarms: of drift, in "
        "1,000 steps of the test part.</p>",
        _scores(STREAM, [(*_names(row), *of_stream(row.stream)) for row in evaluation.rows]),
        "<p>The whole horizon from the end of the training part, by the measures of the M4 competition. MASE: error "
        "over the mean step from one season to the next, and beside it over that of a single step (m = 1). OWA: mean "
        "of sMAPE and MASE over those of Naive2. MSIS: mean score of the 95 % interval, over the scale of MASE.</p>",
        _scores(HORIZON, [(*_names(row), *of_horizon(row.horizon)) for row in evaluation.rows]),
        *_compared(comparison),
        "<h2>Error by horizon, and coverage</h2>",
        f"<p>Error by horizon: of the {comparison.series} of {len(findings.series)} series that all can forecast.</p>",
        '<div class="figures">',
        horizon_chart(comparison.ahead(), findings.label),
        coverage_chart(findings.coverage()),
        "</div>",
        *_fans("The best series", best),
        *_fans("The worst series", worst),
        *_listed(ranked),
        f"<p>{escape(str(verdict))}.</p>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(findings.label)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def write(path: Path, text: str) -> Path:
    """Write the page; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _scores(figures: Cells, rows: Iterable[Cells]) -> str:
    return _table((*NAMES, *figures), rows).replace("<table>", '<table class="scores">', 1)


def _names(row: Row) -> Cells:
    return row.collection, row.forecaster


def _compared(comparison: Comparison) -> list[str]:
    """Classical methods beside the others, or why they are not there."""
    if comparison.lacking is not None:
        return [f"<p>{comparison.lacking}.</p>"]
    rows = [(name, str(comparison.series), f"{mase:.4f}") for name, mase in comparison.mase().items()]
    return [
        f"<p>Beside exponential smoothing and the Theta method ({LIBRARY}), fitted to each training part, on the "
        "series that all of them can forecast:</p>",
        _table(("forecaster", "series", "MASE of the horizon"), rows),
    ]


def _fans(title: str, scores: Sequence[SeriesScore]) -> list[str]:
    if not scores:
        return []
    return [f"<h2>{title}</h2>", '<div class="figures">', *map(fan_chart, scores), "</div>"]


def _listed(ranked: Sequence[SeriesScore]) -> list[str]:
    shown = [*ranked[:LISTED], *ranked[max(len(ranked) - LISTED, LISTED) :]]
    rows = [
        (one.series.unique_id, f"{one.relative_mae:.4f}", f"{one.mase:.4f}", f"{100 * one.coverage:.0f} %")
        for one in shown
    ]
    title = f"Best {LISTED} and worst {LISTED} of {len(ranked)} series" if len(shown) < len(ranked) else "All series"
    return [f"<h2>{title}</h2>", _table(("series", "relMAE", "MASE", "in 80 %"), rows)]


def _table(head: Cells, rows: Iterable[Cells]) -> str:
    def line(tag: str, cells: Cells) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>\n{line('th', head)}\n" + "\n".join(line("td", row) for row in rows) + "\n</table>"
