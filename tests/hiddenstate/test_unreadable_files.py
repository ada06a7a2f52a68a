"""What is said of files that cannot be used: the fault in the user's words, and the cure of that fault."""

import gzip
from pathlib import Path

import pytest

from hiddenstate.files.tables import SeriesFile
from hiddenstate.files.unreadable import TableError

HEADER = "unique_id,ds,y,rain\n"


def read(path: Path) -> None:
    file = SeriesFile(path)
    for _ in file.parts(file.covariates):
        pass


def said_of(path: Path, content: bytes) -> tuple[str, str]:
    """What is wrong, and what to do."""
    path.write_bytes(content)
    with pytest.raises(TableError) as fault:
        read(path)
    why, _, cure = str(fault.value).removeprefix(f"{path}: ").partition("; ")
    assert cure.isprintable()
    assert why.isprintable()
    return why, cure


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("value", ["1.5", "1,5"])
def test_another_separator_is_named(tmp_path: Path, sign: str, name: str, value: str) -> None:
    text = sign.join(("unique_id", "ds", "y")) + "\n" + sign.join(("a", "2026-01-01", value)) + "\n"
    why, cure = said_of(tmp_path / "a.csv", text.encode())
    assert why == f"its columns are separated by {name}, not by commas"
    assert "write it with commas" in cure


@pytest.mark.parametrize("packed", [False, True])
def test_a_text_among_numbers_is_told_with_column_and_line(tmp_path: Path, packed: bool) -> None:
    text = f'{HEADER}a,2026-01-01,1,2\n"a\nb",2026-01-01,1,2\na,2026-01-02,1,wet\n'.encode()
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    why, cure = said_of(path, gzip.compress(text) if packed else text)
    assert why == "column rain has 'wet' in line 5, which is no number"
    assert "empty" in cure


def test_the_column_of_a_text_is_right_beside_columns_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("note,unique_id,ds,y\nx,a,2026-01-01,1\nx,a,2026-01-02,abc\n")
    with pytest.raises(TableError, match="column y has 'abc' in line 3"):
        list(SeriesFile(tmp_path / "a.csv").parts())


def test_a_line_with_too_many_columns_is_named(tmp_path: Path) -> None:
    why, cure = said_of(tmp_path / "a.csv", f"{HEADER}a,2026-01-01,1,2\na,2026-01-02,1,5,2\n".encode())
    assert why == "line 3 has 5 columns and the first line 4"
    assert "decimal comma" in cure


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow"])
def test_of_a_renamed_picture_no_bytes_are_shown(tmp_path: Path, name: str) -> None:
    why, _ = said_of(tmp_path / name, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\xff\xfe,\n;;;\xde\xad\n")
    assert why.startswith(("it is no text", "it is no whole Parquet file", "it is no whole Arrow file"))


@pytest.mark.parametrize("content", ["", HEADER, HEADER.rstrip(), HEADER + "\n\n"])
def test_a_file_without_rows_is_no_success(tmp_path: Path, content: str) -> None:
    why, _ = said_of(tmp_path / "a.csv", content.encode())
    assert why == "it has no rows"


def test_needed_columns_are_named_only_where_one_is_not_there(tmp_path: Path) -> None:
    why, cure = said_of(tmp_path / "a.csv", b"store,day,amount\n1,2026-01-01,5\n")
    assert why == "no column y, it has store, day, amount"
    assert "unique_id, ds, y" in cure


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}a,2026-01-01,1,2")
    assert SeriesFile(tmp_path / "a.csv").rows == 1
