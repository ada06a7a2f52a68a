import hashlib
import struct
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from models.data import DataError, calendar_of, digest, freq_of, read
from models.dates.calendar import features
from tests.models.collection import TEST_STEPS, write_collection


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_collection(tmp_path / "weekly.csv")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.csv"
    path.write_text(text)
    return path


def test_only_training_rows_are_read_unless_the_test_part_is_asked_for(file: Path) -> None:
    train, both = read(file), read(file, test=True)
    assert {len(one) for one in train} == {420 - TEST_STEPS}
    assert {one.test_steps for one in train} == {0}
    assert {(len(one), one.test_steps) for one in both} == {(420, TEST_STEPS)}
    assert all(np.array_equal(a.values, b.values[: b.train_steps]) for a, b in zip(train, both, strict=True))


def test_the_digest_is_recomputed_from_the_documented_bytes_of_the_rows(file: Path) -> None:
    sha = hashlib.sha256()
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    for name in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == name and row[4] == "false"]
        sha.update(struct.pack("<I", len(name)) + name.encode() + struct.pack("<Q", len(mine)))
        days = [int(np.datetime64(row[1], "s").astype(np.int64)) for row in mine]
        sha.update(struct.pack(f"<{len(mine)}q", *days))
        sha.update(struct.pack(f"<{len(mine)}d", *(float(row[2]) for row in mine)))
        sha.update(bytes(row[3] == "true" for row in mine))
    assert digest(read(file)) == sha.hexdigest()


def test_csv_parquet_and_arrow_files_of_the_same_rows_read_alike(file: Path, tmp_path: Path) -> None:
    table = pyarrow.csv.read_csv(file)
    pyarrow.parquet.write_table(table, tmp_path / "weekly.parquet")
    pyarrow.feather.write_feather(table, str(tmp_path / "weekly.arrow"))
    digests = {digest(read(tmp_path / f"weekly.{kind}", test=True)) for kind in ("csv", "parquet", "arrow")}
    assert len(digests) == 1


def test_the_last_steps_are_the_test_part_where_the_file_marks_none(file: Path, tmp_path: Path) -> None:
    assert {one.test_steps for one in read(file, test=True, test_steps=5)} == {TEST_STEPS}
    unmarked = written(tmp_path, "ds,y\n" + "".join(f"2024-01-{day:02},{day}\n" for day in range(1, 21)))
    [whole] = read(unmarked, test=True, test_steps=3)
    [most] = read(unmarked, test=True, test_steps=9)
    [train] = read(unmarked, test_steps=3)
    assert (whole.test_steps, most.test_steps, len(train)) == (3, 5, 17)
    np.testing.assert_array_equal(train.values, whole.values[:17])


def test_a_step_without_a_row_is_a_missing_value(tmp_path: Path) -> None:
    [by_step] = read(written(tmp_path, "unique_id,t,y\na,0,1\na,3,4\na,1,2\n"))
    np.testing.assert_array_equal(by_step.values, [1, 2, np.nan, 4])
    dated = written(tmp_path, "ds,y\n2024-01-01,1\n2024-01-04,\n2024-01-02,2\n")
    [by_date] = read(dated, freq="D")
    np.testing.assert_array_equal(by_date.values, [1, 2, np.nan, np.nan])
    assert by_date.unique_id == "given"
    assert str(by_date.timestamps[2]) == "2024-01-03T00:00:00"  # type: ignore[index]


def test_prefixes_choose_series_by_their_name_up_to_the_first_dot(file: Path) -> None:
    assert [one.unique_id for one in read(file, prefixes=["s1", "s4"])] == ["s1.daily", "s4.daily"]


def test_calendar_features_are_those_of_each_timestamp(file: Path) -> None:
    [one, *_] = read(file)
    expected = [features(stamp) for stamp in one.timestamps.tolist()]  # type: ignore[union-attr]
    np.testing.assert_array_equal(calendar_of(one), np.array(expected, dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("unique_id,ds,value\na,2024-01-01,1\n", "no column .y.; it has unique_id, ds, value; name the columns"),
        ("ds,y\n2024-01-01,high\n", "column 'y' is string; it must hold numbers"),
        ("ds,y\nyesterday,1\n", "column 'ds' is string; write timestamps as 2024-01-31"),
        ("ds,y\n2024-01-01,1\n2024-01-01,2\n", "two rows for 2024-01-01"),
        ("t,y\n4,1\n4,2\n", "two rows for step 4"),
        ("t,y,test\n0,1,true\n1,2,false\n", "train rows after test rows"),
        ("ds,y\n2024-01-01T00:00:00,1\n2024-01-01T07:00:00,2\n", "which D does not; give the data's own --freq"),
        ("t,y,test\n0,1,true\n", "no rows left to read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(written(tmp_path, text), freq="D")


@pytest.mark.parametrize(
    ("text", "why", "cure"),
    [
        ("ds,a,b\n2024-01-01,1,2\n", "it has ds, a, b", "melt('ds', var_name='unique_id'"),
        ("day,a,b\n2024-01-01,1,2\n", "it has day, a, b", ".rename(columns={'day': 'ds'}).melt"),
        ("unique_id;ds;y\na;2024-01-01;1,5\n", "separated by semicolons", "write it with commas"),
        ("unique_id,ds,y\n", "a header and no rows", "give one row for each step"),
        ("shop,day,sales\na,2024-01-01,1\n", "it has shop, day, sales", "name the columns unique_id, ds, y"),
    ],
    ids=["wide", "wide with another name", "semicolons", "header only", "other names"],
)
def test_what_is_wrong_and_what_to_do_are_told_apart(tmp_path: Path, text: str, why: str, cure: str) -> None:
    with pytest.raises(DataError) as refused:
        read(written(tmp_path, text))
    assert why in refused.value.why
    assert cure in refused.value.cure


def test_a_whole_number_as_ds_is_a_step(tmp_path: Path) -> None:
    by_step, by_ds = (read(written(tmp_path, f"unique_id,{name},y\na,0,1\na,3,4\na,1,2\n")) for name in ("t", "ds"))
    assert by_ds[0].timestamps is None
    np.testing.assert_array_equal(by_ds[0].values, by_step[0].values)


def test_days_of_a_zone_are_read_on_its_clock_whatever_its_offset(tmp_path: Path) -> None:
    days = [("2025-10-24", 2), ("2025-10-25", 2), ("2025-10-26", 2), ("2025-10-28", 1)]
    path = written(tmp_path, "ds,y\n" + "".join(f"{day}T00:00:00+0{h}:00,{day[-2:]}\n" for day, h in days))
    with pytest.raises(DataError, match="a zone that changes its offset; name that zone: --timezone"):
        read(path, freq="D")
    assert freq_of(path, "Europe/Berlin") == "D"
    [local] = read(path, freq="D", timezone="Europe/Berlin")
    np.testing.assert_array_equal(local.values, [24, 25, 26, np.nan, 28])
    assert local.timestamps is not None
    assert [str(moment) for moment in local.timestamps] == [f"2025-10-{day}T00:00:00" for day in range(24, 29)]


def test_hours_without_an_offset_are_read_in_the_zone_and_refused_where_they_occur_twice(tmp_path: Path) -> None:
    path = written(tmp_path, "ds,y\n2025-03-30T01:00:00,1\n2025-03-30T03:00:00,2\n")
    assert len(read(path, freq="h", timezone="Europe/Berlin")[0]) == 2
    assert len(read(path, freq="h")[0]) == 3
    with pytest.raises(DataError, match=r"2025-10-26T02:00:00 occurs twice in Europe/Berlin; write ds with its offset"):
        read(written(tmp_path, "ds,y\n2025-10-26T02:00:00,1\n"), freq="h", timezone="Europe/Berlin")


def test_a_missing_business_day_has_its_own_date(tmp_path: Path) -> None:
    [one] = read(written(tmp_path, "ds,y\n2025-11-20,1\n2025-11-21,2\n2025-11-25,3\n"), freq="B")
    assert one.timestamps is not None
    assert str(one.timestamps[2]) == "2025-11-24T00:00:00"


def test_the_frequency_of_a_file_is_that_of_its_times(tmp_path: Path) -> None:
    hours = "".join(f"{t},2025-01-01T{t:02}:00:00,{t}\n" for t in range(9))
    assert freq_of(written(tmp_path, f"t,ds,y\n{hours}")) == "h"
    assert freq_of(written(tmp_path, "t,y\n0,1\n")) is None
    with pytest.raises(DataError, match="no frequency that can be told; give it, such as --freq"):
        freq_of(written(tmp_path, "ds,y\n2025-01-01T00:00:01,1\n2025-01-01T00:07:02,1\n"))


@pytest.mark.parametrize(
    ("freq", "timezone", "reason"),
    [("H", "UTC", "hours are h"), ("D", "Mars", "not an IANA"), ("ME", "UTC", "ME does not")],
)
def test_a_frequency_or_zone_that_there_is_not_is_refused(
    tmp_path: Path, freq: str, timezone: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        read(written(tmp_path, "ds,y\n2025-01-01,1\n2025-01-02,1\n"), freq=freq, timezone=timezone)


def test_a_missing_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="unknown format"):
        read(tmp_path / "none.xlsx")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.parquet"
    path.write_bytes(b"unique_id,ds,y")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read(path)
