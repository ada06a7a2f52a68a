"""Sessions that leave: exported, purged, imported again, given another model; through the real command."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hiddenstate import AsyncClient, Client
from hiddenstate.cli.faults import ExitCode
from hiddenstate.errors import InvalidRequest, SessionExists, StateInvalid
from tests.hiddenstate.command import run
from tests.hiddenstate.conftest import Running
from tests.service.days import observation, series

COUNT = 20


@pytest.fixture
def prefix(client: Client) -> str:
    """Sessions of daily@1 whose ids begin so, each with other values, and listed."""
    prefix = f"mover-{os.urandom(3).hex()}-"
    for number in range(COUNT):
        history: list[Any] = [observation(day, value=day % 7 + number) for day in range(1, 91)]
        client.put_session(f"{prefix}{number:02}", history, freq="D", model="daily@1")
    listed: list[Any] = []
    while len(listed) < COUNT:
        listed = list(client.sessions(prefix=prefix))
    return prefix


def fans(client: Client, prefix: str) -> list[object]:
    return [client.forecast(f"{prefix}{number:02}", 14).members["forecasts"] for number in range(COUNT)]


def test_what_was_exported_and_purged_is_imported_as_it_was(
    service: Running, client: Client, prefix: str, tmp_path: Path
) -> None:
    before = fans(client, prefix)
    file = str(tmp_path / "moved.jsonl")
    assert run("export", "--prefix", prefix, "--out", file, HIDDENSTATE_URL=service.url).code == 0
    counted = run("purge", "--prefix", prefix, HIDDENSTATE_URL=service.url)
    assert f"{COUNT} sessions would be deleted" in counted.err
    assert run("purge", "--prefix", prefix, "--force", "--json", HIDDENSTATE_URL=service.url).code == 0
    assert client.purge(prefix).purge_count == 0
    for _ in range(2):  # the second time they are there
        imported = run("import", file, HIDDENSTATE_URL=service.url)
        assert (imported.code, imported.out) == (0, f"{COUNT} sessions are here\n")
    assert fans(client, prefix) == before
    assert client.verify(f"{prefix}07").ok


def test_an_interrupted_export_goes_on_where_it_was(
    service: Running, client: Client, prefix: str, tmp_path: Path
) -> None:
    whole = run("export", "--prefix", prefix, HIDDENSTATE_URL=service.url).out.splitlines()
    file = tmp_path / "moved.jsonl"
    marked = json.dumps({**json.loads(whole[0]), "checksum": "written before"})
    (tmp_path / "moved.jsonl.part").write_text(f"{marked}\n{whole[1]}\n{whole[2][:99]}")
    assert run("export", "--prefix", prefix, "--out", str(file), HIDDENSTATE_URL=service.url).code == 0
    assert file.read_text().splitlines() == [marked, *whole[1:]]


def test_what_is_damaged_or_stands_in_the_way_is_refused_and_the_others_go_on(
    service: Running, client: Client, prefix: str, tmp_path: Path
) -> None:
    states = [client.state(f"{prefix}{number:02}").members for number in range(4)]
    client.purge(prefix, force=True)
    other: list[Any] = series(1, 3)
    client.put_session(f"{prefix}01", other, freq="D")
    lines = [json.dumps(state) for state in states]
    lines[2] = lines[2].replace('"value": ', '"value": 1', 1)
    lines[3] = lines[3][:500]
    file = tmp_path / "moved.jsonl"
    file.write_text("\n".join(lines))
    done = run("import", str(file), HIDDENSTATE_URL=service.url)
    assert (done.code, done.out) == (ExitCode.REFUSED, "1 sessions are here\n")
    with (tmp_path / "moved.jsonl.failures.csv").open() as refused:
        told = [(row["session"], row["line"], row["problem"]) for row in csv.DictReader(refused)]
    assert told == [
        (f"{prefix}01", "2", "session-exists"),
        (f"{prefix}02", "3", "state-invalid"),
        ("", "4", "malformed-request"),
    ]
    assert client.purge(prefix).purge_count == 2


def test_a_migration_says_what_would_change_and_changes_it_when_told_to(
    service: Running, client: Client, prefix: str, tmp_path: Path
) -> None:
    asked = run("migrate", "--model", "daily@2", "--prefix", prefix, cwd=tmp_path, HIDDENSTATE_URL=service.url)
    assert asked.code == ExitCode.USAGE
    better, worse, same = (int(word) for word in asked.out.split() if word.isdigit())
    assert better + worse + same == COUNT
    assert client.session(f"{prefix}00").model == "daily@1"
    done = run("migrate", "--model", "daily", "--prefix", prefix, "--yes", cwd=tmp_path, HIDDENSTATE_URL=service.url)
    assert done.out.endswith(f"{COUNT} sessions switched to daily@2\n")
    assert {one.model for one in client.sessions(prefix=prefix)} == {"daily@2"}
    again = run("migrate", "--model", "daily", "--prefix", prefix, cwd=tmp_path, HIDDENSTATE_URL=service.url)
    assert (again.code, again.out) == (0, "no session to switch to daily@2\n")


def test_a_migration_leaves_alone_what_retains_nothing_to_fold(
    service: Running, client: Client, tmp_path: Path
) -> None:
    name = f"keeps-nothing-{os.urandom(3).hex()}"
    history: list[Any] = series(1, 31)
    client.put_session(name, history, freq="D", model="daily@1", history=0)
    while not client.sessions_page(prefix=name).sessions:
        pass
    done = run(
        *("migrate", "--model", "daily@2", "--prefix", name, "--yes"), cwd=tmp_path, HIDDENSTATE_URL=service.url
    )
    told = "1 sessions are left alone: they retain nothing that daily@2 could fold\nno session to switch to daily@2\n"
    assert (done.code, done.out) == (ExitCode.REFUSED, told)
    assert "not-retained" in (tmp_path / "migrate.failures.csv").read_text()
    assert client.session(name).model == "daily@1"


async def test_the_client_moves_a_session_and_asks_what_if(service: Running, client: Client, prefix: str) -> None:
    name = f"{prefix}00"
    state = client.state(name)
    assert str(state) == f"<State {name} at step 90, daily@1: 64 observations retained>"
    async with AsyncClient(service.url) as other:
        moved = await other.put_state(f"{name}.b", await other.state(name))
    assert (moved.step, moved.last) == (90, state.last)
    assert client.put_state(f"{name}.b", state).etag == moved.etag
    with pytest.raises(SessionExists):
        client.put_state(f"{prefix}01", state)
    etag = client.session(f"{prefix}01").etag
    assert client.put_state(f"{prefix}01", state, if_match=etag).etag != etag
    with pytest.raises(StateInvalid):
        client.put_state(f"{name}.c", {**state.members, "step": 91})
    assert client.what_if(name, horizon=3).forecasts == client.forecast(name, 3).forecasts
    with pytest.raises(InvalidRequest) as refused:
        client.what_if(name, [{"rain": 1.0}])
    assert refused.value.errors[0]["pointer"] == "/future/0/rain"
    assert client.model("daily").model == "daily@2"
