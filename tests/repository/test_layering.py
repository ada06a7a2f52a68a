"""The tree as a picture of the architecture: imports point one way, files stay short."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400
BELOW = {"models": {"service", "hiddenstate"}, "service": {"hiddenstate"}}
"""What each package must not import."""

INSIDE = {
    "models": ("dates", "layers", "synthetic", "artifacts", "evaluation", "training"),
    "service": (
        *("storage", "wire", "monitoring", "live", "sessions"),
        *("listing", "states", "diagnosis", "doors", "routes"),
    ),
}
"""Folders of a package from the lowest up: none imports one above it."""

CLIENT = ("*.py", "answers/*.py", "sending/*.py", "cli/__init__.py", "cli/faults.py", "cli/output.py")
"""What works where only the base install is."""


def python_files() -> list[Path]:
    folders = ("models", "service", "hiddenstate", "tests", "bench")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path, *, at_import_time: bool = False) -> Iterator[str]:
    """Top-level names of the packages that a file imports."""
    tree = ast.parse(path.read_text())
    for node in tree.body if at_import_time else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield (node.module or "").partition(".")[0]


def folders_imported(path: Path, package: str) -> set[str]:
    """The folders of a package that a file imports from."""
    modules = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[1] for module in modules if module and module.startswith(f"{package}.")}


@pytest.mark.parametrize("package", BELOW)
def test_imports_point_one_way(package: str) -> None:
    upward = {
        str(path.relative_to(ROOT)): found
        for path in (ROOT / package).rglob("*.py")
        if (found := BELOW[package] & set(imported(path)))
    }
    assert upward == {}


@pytest.mark.parametrize("package", INSIDE)
def test_folders_of_a_package_stand_above_each_other(package: str) -> None:
    order = INSIDE[package]
    upward = {
        str(path.relative_to(ROOT)): found
        for index, folder in enumerate(order)
        for path in (ROOT / package / folder).rglob("*.py")
        if (found := folders_imported(path, package) & set(order[index + 1 :]))
    }
    assert upward == {}


@pytest.mark.parametrize("files", CLIENT)
def test_the_client_imports_neither_service_nor_models(files: str) -> None:
    allowed = {"hiddenstate", "httpx2", "websockets", "typer", "rich"} | sys.stdlib_module_names
    paths = list((ROOT / "hiddenstate").glob(files))
    assert paths
    foreign = {path.name: set(imported(path, at_import_time=True)) - allowed for path in paths}
    assert {name: found for name, found in foreign.items() if found} == {}


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
