from pathlib import Path

import pytest

from bench.report import Figure, Report, Section

NAMES = ("requests", "growth", "step")


def section(title: str, measured: float) -> Section:
    plotted = {"some": {"10": 1.0, "100": measured}}
    return Section(title, [f"{title} text"], [Figure(f"{title} figure", measured, 0.3, 0.5)], plotted, "today")


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure("", 0.5, 0.3, 0.5), "aim"),
        (Figure("", 0.4, 0.3, 0.5), "must"),
        (Figure("", 0.2, 0.3, 0.5), "no"),
        (Figure("", 1.0, 1.05, 1.0, at_most=True), "aim"),
        (Figure("", 1.1, 1.05, 1.0, at_most=True), "no"),
        (Figure("", 1.1), ""),
    ],
)
def test_what_a_figure_reaches(figure: Figure, reached: str) -> None:
    assert figure.reached == reached


def test_a_part_measured_again_takes_the_place_of_its_own_section(tmp_path: Path) -> None:
    Report(tmp_path, NAMES).put("growth", section("Growth", 0.4), ["old"])
    Report(tmp_path, NAMES).put("requests", section("Single", 0.2), ["old"])
    Report(tmp_path, NAMES).put("requests", section("Single", 0.6), ["new"])
    text = (tmp_path / "performance.md").read_text()
    assert "| Single figure | ≥ 0.3 | ≥ 0.5 | 0.6 | aim |" in text
    assert "| Growth figure | ≥ 0.3 | ≥ 0.5 | 0.4 | must |" in text
    assert text.index("## Single") < text.index("## Growth")
    assert "0.2" not in text
    assert "old" not in text


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    report = Report(tmp_path, NAMES)
    report.put("requests", section("Single", 0.2), [])
    report.put("growth", Section("Growth", [], (), {"full": {"10": 1.0, "100": 1.0}}), [])
    assert (tmp_path / "performance.png").read_bytes().startswith(b"\x89PNG")
