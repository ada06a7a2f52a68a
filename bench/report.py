"""The report: sections in Markdown, the figures of all of them in one table, and a picture.

What was measured is kept beside it as JSON, so that a part that is measured again takes the place of its own section.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.plot import draw

INTRODUCTION = """\
# Performance

Made by `python -m bench` (`make bench`). The load generator, the services and the stores share the machine's cores, so
only ratios of what ran side by side mean something; requests per second are given for their scale. Everything ran in
interleaved rounds; figures are medians over the rounds, with the lowest and the highest in brackets.
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that has a target.

    Args:
        must, aim: what it must reach, and what it is meant to; None = it is only reported.
        at_most: smaller is better.
    """

    name: str
    measured: float
    must: float | None = None
    aim: float | None = None
    at_most: bool = False

    def row(self) -> str:
        """Of the table of figures."""
        sign = "≤" if self.at_most else "≥"
        must, aim = ("" if target is None else f"{sign} {target:,g}" for target in (self.must, self.aim))
        return f"| {self.name} | {must} | {aim} | {number(self.measured)} | {self.reached} |"

    @property
    def reached(self) -> str:
        """What of both targets."""
        targets = (("aim", self.aim), ("must", self.must))
        given = [(name, target) for name, target in targets if target is not None]
        met = [name for name, target in given if (self.measured <= target if self.at_most else self.measured >= target)]
        return (met[0] if met else "no") if given else ""


@dataclass(frozen=True, slots=True)
class Section:
    """What one part measured.

    Args:
        text: lines of Markdown.
        plotted: by the name of a line or bar group: what stands on the x axis, and the values.
        measured: when, on which commit, by which command.
    """

    title: str
    text: Sequence[str]
    figures: Sequence[Figure] = ()
    plotted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    measured: str = ""


class Report:
    """The files `performance.md`, `.json` and `.png` in a folder; sections stand in the order of `names`."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._data = folder / "performance.json"
        self._names = names
        self._sections = {}
        if self._data.exists():
            stored = json.loads(self._data.read_text())
            self._sections = {name: _parsed(section) for name, section in stored["sections"].items()}

    def put(self, name: str, section: Section, machine: Sequence[str]) -> None:
        """Put a section in, in the place of the one it had, and write all files anew."""
        self._sections[name] = section
        self._sections = {name: self._sections[name] for name in self._names if name in self._sections}
        self._data.parent.mkdir(parents=True, exist_ok=True)
        stored = {"machine": list(machine), "sections": {name: asdict(part) for name, part in self._sections.items()}}
        self._data.write_text(json.dumps(stored, indent=1) + "\n")
        drawn = draw({name: part.plotted for name, part in self._sections.items()}, self._data.with_suffix(".png"))
        lines = [INTRODUCTION, *_joined(machine), *self.summary(), ""]
        lines += ["![all services side by side; cost against history](performance.png)", ""] if drawn else []
        for part in self._sections.values():
            lines += [f"## {part.title}", "", *part.text, "", f"*{part.measured}*", ""]
        self._data.with_suffix(".md").write_text("\n".join(lines[:-1]) + "\n")

    def summary(self) -> list[str]:
        """The figures of all sections, in Markdown."""
        lines = ["| figure | must | aim | measured | reached |", "| --- | ---: | ---: | ---: | --- |"]
        return lines + [figure.row() for part in self._sections.values() for figure in part.figures]


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _joined(machine: Sequence[str]) -> list[str]:
    return [line for paragraph in machine for line in (paragraph, "")]


def _parsed(stored: Mapping[str, object]) -> Section:
    fields = dict(stored)
    figures = fields.pop("figures")
    assert isinstance(figures, list)
    return Section(**fields, figures=[Figure(**figure) for figure in figures])  # type: ignore[arg-type]
