from pathlib import Path

import numpy as np
import pytest
import torch

from models.study.report import write_report
from models.study.unroll import (
    DAILY_VARIABLES,
    DELAY,
    Learner,
    StudyOptions,
    daily_task,
    learn,
    recall_task,
    saved_bytes,
    seattle_weather,
    study_unroll,
)

BRIEF = StudyOptions(lengths=(1, 4), observations=64, updates=4)


def test_the_answer_of_the_recall_task_is_the_sign_that_was_cued_the_delay_before() -> None:
    streams = recall_task(BRIEF).unseen
    shown, cued, asked = streams.inputs.unbind(-1)
    assert torch.equal(cued[:-DELAY], asked[DELAY:])
    answers = (streams.targets[DELAY:] * 2 - 1)[asked[DELAY:] == 1]
    assert torch.equal(answers, shown[:-DELAY][asked[DELAY:] == 1])
    assert float(answers.mean()) == pytest.approx(0.0, abs=0.05)


def test_the_daily_task_asks_for_the_next_day_of_a_year_that_no_learner_is_shown() -> None:
    task = daily_task(BRIEF)
    series = seattle_weather()
    assert series.shape == (len(DAILY_VARIABLES), 1461)
    assert torch.equal(task.unseen.inputs[1:, :, 0], task.unseen.targets[:-1])
    assert task.train.inputs.shape[0] == 1461 - 365 - 1
    assert task.unseen.asked.sum() == 4 * 365


def test_the_memory_of_an_update_grows_by_the_same_bytes_for_each_step_unrolled() -> None:
    task = recall_task(BRIEF)
    model = Learner(3)
    held = [
        saved_bytes(model, task, type(task.train)(*(a[:length].clone() for a in chunk)))
        for chunk in [(task.train.inputs, task.train.targets, task.train.asked)]
        for length in (8, 16, 32, 64)
    ]
    steps = np.diff(held) / np.array([8, 16, 32])
    assert steps.max() / steps.min() == pytest.approx(1.0, abs=0.01)


def test_no_length_gets_less_than_the_observations_and_updates_asked_for() -> None:
    task = recall_task(BRIEF)
    assert learn(task, 1, carried=False, options=BRIEF).updates == 64
    assert learn(task, 32, carried=True, options=BRIEF).updates == 4


def test_the_study_writes_its_table_and_its_picture(tmp_path: Path) -> None:
    lines: list[str] = []
    study = study_unroll(BRIEF, lines.append)
    write_report(study, tmp_path)
    assert len(study.outcomes) == len(lines) == 8
    table = (tmp_path / "unroll.md").read_text()
    assert table.count("\n| 4 |") == 2
    assert (tmp_path / "unroll.png").read_bytes().startswith(b"\x89PNG")
