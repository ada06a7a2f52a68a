"""The whole benchmark, shortest form: every part runs, and the report holds all of them."""

from pathlib import Path

from bench.__main__ import main
from bench.parts import PARTS
from models.artifacts.artifact import SHIPPED


def test_every_part_has_its_section(tmp_path: Path) -> None:
    shortest = "--rounds 1 --seconds 1 --sessions 1000 --longest 10 --target bare --target embedded --target rewriting"
    model = str(SHIPPED / "daily" / "1")
    assert main([*shortest.split(), "--model", model, "--out", str(tmp_path)]) == 0
    text = (tmp_path / "performance.md").read_text()
    assert text.count("\n## ") == len(PARTS)
    assert "\n| hiddenstate, embedded, AOF being rewritten |" in text
