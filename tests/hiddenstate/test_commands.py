"""Each command against a real service, run as a user runs it."""

import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import pytest

from hiddenstate import Client
from hiddenstate.cli.faults import ExitCode
from hiddenstate.sending.shapes import Observation
from tests.hiddenstate.command import Result, run
from tests.hiddenstate.conftest import Running

NUMBER = re.compile(r"\d+\.\d+")
README = (Path(__file__).parents[2] / "README.md").read_text()


def command(service: Running, *arguments: str, cwd: Path | None = None) -> Result:
    result = run(*arguments, cwd=cwd, HIDDENSTATE_URL=service.url)
    assert result.code == ExitCode.DONE, result.lines
    return result


@pytest.fixture
def session(service: Running) -> str:
    """The id of a session with thirty dated values."""
    name = f"store-{uuid4().hex[:8]}"
    with Client(service.url) as client:
        days: list[Observation] = [{"timestamp": f"2026-10-{day:02}", "value": 100.0 + day % 7} for day in range(1, 31)]
        client.put_session(name, days, freq="D")
    return name


def test_serve_greets_with_url_docs_store_model_and_a_line_that_works(service: Running) -> None:
    greeting = "\n".join(service.greeting)
    assert f"{service.url}/docs" in greeting
    assert "on disk before each answer" in greeting
    assert "daily@2" in greeting
    line = service.greeting[-1].strip().removeprefix("try").strip()
    answer = subprocess.run([*shlex.split(line), "--silent"], capture_output=True, text=True, timeout=120)
    assert json.loads(answer.stdout)["forecast"]["step"] == 2


def test_observe_prints_the_forecast_of_the_next_step(service: Running) -> None:
    result = command(service, "observe", f"new-{uuid4().hex[:8]}", "118", "--create")
    assert result.out.split()[:3] == ["step", "time", "median"]
    assert result.out.splitlines()[1].split()[0] == "2"


def test_observe_takes_dates_negative_and_missing_values(service: Running, session: str) -> None:
    command(service, "observe", session, "-3.5", "--at", "2026-10-31")
    result = command(service, "observe", session, "null", "--at", "2026-11-01", "--json")
    advance = json.loads(result.out)
    assert advance["step"] == 32
    assert advance["observed"]["value"] is None
    assert advance["forecast"]["timestamp"] == "2026-11-02"


def test_observe_again_is_a_replay(service: Running, session: str) -> None:
    first = command(service, "observe", session, "9", "--at", "2026-10-31", "--json")
    again = command(service, "observe", session, "9", "--at", "2026-10-31", "--json")
    assert first.out == again.out


def test_forecast_prints_a_row_for_each_step(service: Running, session: str) -> None:
    result = command(service, "forecast", session, "--horizon", "14", "--levels", "50,80")
    header, *rows = result.out.splitlines()
    assert header.split() == ["step", "time", "median", "50", "%", "80", "%"]
    assert [row.split()[1] for row in rows][:2] == ["2026-10-31", "2026-11-01"]
    assert len(rows) == 14


def test_forecast_with_json_is_the_services_answer(service: Running, session: str) -> None:
    result = command(service, "forecast", session, "--horizon", "3", "--json")
    with Client(service.url) as client:
        assert json.loads(result.out) == client.forecast(session, 3).members


def test_verify_says_ok(service: Running, session: str) -> None:
    assert command(service, "verify", session).out == "ok\n"
    assert json.loads(command(service, "verify", session, "--json").out)["identical"] is True


def test_reset_forgets_the_observations_and_keeps_the_settings(service: Running, session: str) -> None:
    answer = json.loads(command(service, "reset", session, "--json").out)
    assert (answer["step"], answer["freq"], answer["last"]) == (0, "D", None)


def test_sessions_lists_where_each_stands(service: Running, session: str) -> None:
    with Client(service.url) as client:
        while not list(client.sessions(prefix=session)):  # the list lags behind by a moment
            time.sleep(0.05)
    result = command(service, "sessions", "--prefix", session)
    assert result.out.splitlines()[1].split()[:5] == [session, "daily@2", "D", "30", "2026-10-30"]
    for model, expected in (("daily", [session]), ("daily@1", [])):
        page = json.loads(command(service, "sessions", "--prefix", session, "--model", model, "--json").out)
        assert [one["session"] for one in page["sessions"]] == expected
        with Client(service.url) as client:
            assert [one.session for one in client.sessions(prefix=session, model=model)] == expected


def test_demo_shows_forecast_against_actual_in_the_terminal_and_as_a_picture(service: Running, tmp_path: Path) -> None:
    result = command(service, "demo", "--days", "20", "--session", "demo-test", cwd=tmp_path)
    lines = result.out.splitlines()
    assert lines[0].split()[:3] == ["day", "forecast", "actual"]
    assert lines[14].split()[0] == "2015-12-31"
    assert all("-" in line[30:] and "*" in line for line in lines[1:15])
    assert "of 20 days" in result.out
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_demo_feeds_what_it_says(service: Running, tmp_path: Path) -> None:
    command(service, "demo", "--days", "5", "--variable", "wind", "--session", "demo-wind", cwd=tmp_path)
    with Client(service.url) as client:
        last = next(client.records("demo-wind", newest_first=True))
        session = client.session("demo-wind")
    assert (last.timestamp, last.value) == ("2015-12-31", 3.5)
    assert (session.step, session.minimum) == (1461, 0.0)


def test_demo_can_be_run_again(service: Running, tmp_path: Path) -> None:
    first = command(service, "demo", "--days", "5", "--session", "demo-again", cwd=tmp_path)
    again = command(service, "demo", "--days", "5", "--session", "demo-again", cwd=tmp_path)
    assert first.out == again.out


def test_the_first_screen_of_the_readme_is_true(service: Running) -> None:
    line = next(line for line in README.splitlines() if line.startswith("curl") and "store-43" in line)
    line = line.replace("localhost:8000", service.url.removeprefix("http://"))
    answer = subprocess.run([*shlex.split(line), "--silent"], capture_output=True, text=True, timeout=120)
    given, shown = json.loads(answer.stdout), json.loads(README.split("```json\n")[1].split("```")[0])
    forecast, shown_forecast = given.pop("forecast"), shown.pop("forecast")
    assert given | {"etag": shown["etag"]} == shown
    assert forecast["timestamp"] == shown_forecast["timestamp"]
    # Other processors give other last digits.
    assert forecast["quantiles"] == pytest.approx(shown_forecast["quantiles"], rel=1e-4)


def test_the_python_example_of_the_readme_runs(service: Running, capsys: pytest.CaptureFixture[str]) -> None:
    example = README.split("```python\n")[1].split("```")[0]
    exec(compile(example.replace("http://127.0.0.1:8000", service.url), "README.md", "exec"), {})
    told, following, *_ = capsys.readouterr().out.splitlines()
    shown = next(line.partition("# ")[2] for line in example.splitlines() if "print(advance)" in line)
    assert NUMBER.sub("", told) == NUMBER.sub("", shown)
    # Other processors give other last digits.
    assert [*map(float, NUMBER.findall(told))] == pytest.approx([*map(float, NUMBER.findall(shown))], rel=1e-4)
    assert following.startswith("2026-11-22 ")


def test_correct_gives_an_observation_another_value(service: Running, session: str) -> None:
    corrected = json.loads(command(service, "correct", session, "2026-10-29", "-7.5", "--json").out)
    assert (corrected["corrected"], corrected["observed"]["value"]) == (1, -7.5)
    assert "stored already" in "\n".join(command(service, "correct", session, "28", "100").lines)
    with Client(service.url) as client:
        assert client.correct(session, "2026-10-28", None).observed.value is None
        sent: list[Observation] = [{"timestamp": f"2026-10-{day}", "value": 5.0} for day in (30, 31)]
        advance = client.observe_many(session, sent, on_conflict="correct")
    assert (advance.corrected, advance.applied) == (1, 1)


def test_rewind_forgets_what_follows(service: Running, session: str) -> None:
    assert json.loads(command(service, "rewind", session, "--to", "2026-10-28", "--json").out)["step"] == 28
    assert command(service, "rewind", session, "--to", "27").out.split()[:3] == ["step", "time", "median"]
    with Client(service.url) as client:
        assert client.session(session).last == "2026-10-27"
