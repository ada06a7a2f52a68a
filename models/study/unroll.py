"""Why unroll at all? What the unroll length buys a learner, with carried and with fresh state.

A plain `nn.LSTM` is trained by truncated BPTT at several unroll lengths. No length is short of practice: each gets
at least `StudyOptions.observations` of every stream and at least `StudyOptions.updates` updates. It is then scored as
it would be served: one step at a time over unseen data, its state carried all the way.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.threads import one_thread

LENGTHS = (1, 2, 4, 8, 16, 32, 64)
DELAY = 20
"""Steps between the cue of the recall task and the question for it."""

PERIOD = 32
"""Steps from one cue of a stream to the next, on average."""

HIDDEN = 24
RATE = 5e-3
RECALL_STREAMS = 64
DAILY_VARIABLES = ("temp_max", "temp_min", "wind", "precipitation")
DAILY_STREAMS_EACH = 4
DAILY_TEST_STEPS = 365


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """What `study_unroll` runs: unroll lengths, seed, and the least that each learner gets of every stream."""

    lengths: Sequence[int] = LENGTHS
    observations: int = 12_800
    updates: int = 1_600
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Streams:
    """B parallel streams of T steps.

    Attributes:
        inputs: (T, B, F) float32.
        targets: (T, B) float32; asked: (T, B) float32, 1 where a target counts.
    """

    inputs: Tensor
    targets: Tensor
    asked: Tensor


@dataclass(frozen=True, slots=True)
class Task:
    """A problem to learn: training streams, unseen streams, a loss to minimise and the score to report."""

    name: str
    title: str
    explanation: str
    measure: str
    chance: float
    train: Streams
    unseen: Streams
    loss: Callable[[Tensor, Streams], Tensor]
    score: Callable[[Tensor, Streams], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One learner: how it was trained, how it scored, and what one update held and the whole training took."""

    task: str
    length: int
    carried: bool
    score: float
    updates: int
    saved_bytes: int
    seconds: float


class Learner(nn.Module):
    """One LSTM layer and a linear output: the smallest thing the question can be asked of."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        with torch.no_grad():
            bias = self.lstm.get_parameter("bias_hh_l0")
            bias[HIDDEN : 2 * HIDDEN] += 1.0  # forget gates start open (Gers et al. 2000)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs (T, B) of inputs (T, B, F), and the state after them."""
        hidden, state = self.lstm(x, state)
        return self.out(hidden)[..., 0], state


@dataclass(frozen=True, slots=True)
class Study:
    """All learners of a study, and the tasks that they were set."""

    tasks: Sequence[Task]
    outcomes: Sequence[Outcome]


def study_unroll(options: StudyOptions, advance: Callable[[str], None] | None = None) -> Study:
    """Train and score a learner for each task, kind of state and unroll length.

    Args:
        advance: called with a line of text after each learner.
    """
    outcomes: list[Outcome] = []
    with one_thread():  # times are compared
        tasks = (recall_task(options), daily_task(options))
        for task in tasks:
            for carried in (False, True):
                for length in options.lengths:
                    outcome = learn(task, length, carried=carried, options=options)
                    outcomes.append(outcome)
                    if advance is not None:
                        advance(describe(task, outcome))
    return Study(tasks, outcomes)


def describe(task: Task, outcome: Outcome) -> str:
    """One line about one learner."""
    state = "carried" if outcome.carried else "fresh"
    cost = f"{outcome.saved_bytes / 1024:.0f} KiB, {outcome.seconds:.1f} s"
    return f"{task.name}: unroll {outcome.length}, {state}: {task.measure} {outcome.score:.3f}, {cost}"


def learn(task: Task, length: int, *, carried: bool, options: StudyOptions) -> Outcome:
    """Truncated BPTT over `task.train` in chunks of `length` steps, then score the learner on `task.unseen`."""
    torch.manual_seed(options.seed)
    model = Learner(task.train.inputs.shape[-1])
    chunks = _chunks(task.train, length)
    updates = max(options.updates, options.observations // length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3, fused=True)
    saved = saved_bytes(model, task, chunks[0])
    started = time.perf_counter()
    state = None
    for update in range(updates):
        chunk = chunks[update % len(chunks)]
        if chunk is chunks[0] or not carried:
            state = None
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * update / updates)))
        outputs, after = model(chunk.inputs, state)
        loss = task.loss(outputs, chunk)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        # the values cross the edge of the chunk, the gradient does not
        state = (after[0].detach(), after[1].detach())
    seconds = time.perf_counter() - started
    with torch.no_grad():
        outputs, _ = model(task.unseen.inputs, None)
    return Outcome(task.name, length, carried, task.score(outputs, task.unseen), updates, saved, seconds)


def saved_bytes(model: Learner, task: Task, chunk: Streams) -> int:
    """Bytes that one update's forward pass keeps for its backward pass, the parameters not counted.

    It is the sum over the tensors that autograd saves, each memory counted once: exact, and the same on every machine.
    """
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            held[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # so that no later tensor gets the same address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs, _ = model(chunk.inputs, None)
        task.loss(outputs, chunk)
    return sum(held.values())


def recall_task(options: StudyOptions) -> Task:
    """A sign is shown among random signs, marked by a flag; `DELAY` steps later the learner is asked for it."""
    rng = np.random.default_rng(options.seed)
    return Task(
        name="recall",
        title=f"Recall a sign shown {DELAY} steps back",
        explanation="Accuracy of the answer; guessing gives 0.5.",
        measure="accuracy",
        chance=0.5,
        train=_recall_streams(rng, options.observations),
        unseen=_recall_streams(rng, 100 * PERIOD),
        loss=_asked_loss(nn.functional.binary_cross_entropy_with_logits),
        score=_accuracy,
    )


def daily_task(options: StudyOptions) -> Task:
    """One step ahead on the four variables of Seattle's daily weather; the last year is unseen."""
    series = seattle_weather()
    train = series[:, :-DAILY_TEST_STEPS]
    mean, deviation = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
    unit = ((series - mean) / deviation).astype(np.float32)
    known = unit[:, :-DAILY_TEST_STEPS]
    turned = [np.roll(known, -71 * k, axis=1) for k in range(DAILY_STREAMS_EACH)]
    return Task(
        name="daily",
        title="Seattle's daily weather, one day ahead",
        explanation="relMAE on the last year: error over that of repeating the last value; lower is better.",
        measure="relMAE",
        chance=1.0,
        train=_forecasting(np.concatenate(turned)),
        unseen=_forecasting(unit, scored=DAILY_TEST_STEPS),
        loss=_asked_loss(nn.functional.l1_loss),
        score=_relative_error,
    )


def seattle_weather() -> NDArray[np.float64]:
    """(4, 1461): the variables of `DAILY_VARIABLES`, 2012 to 2015, as the package vega_datasets carries them."""
    from vega_datasets import data  # an extra that only the study and the demo need

    frame = data.seattle_weather()
    return np.stack([frame[name].to_numpy(dtype=np.float64) for name in DAILY_VARIABLES])


def _recall_streams(rng: np.random.Generator, steps: int) -> Streams:
    blocks = steps // PERIOD
    shown = rng.choice([-1.0, 1.0], size=(steps, RECALL_STREAMS))
    cues = rng.integers(0, PERIOD - DELAY, size=(blocks, RECALL_STREAMS)) + PERIOD * np.arange(blocks)[:, None]
    stream = np.arange(RECALL_STREAMS)[None, :]
    cued, asked, targets = (np.zeros((steps, RECALL_STREAMS)) for _ in range(3))
    cued[cues, stream] = 1.0
    asked[cues + DELAY, stream] = 1.0
    targets[cues + DELAY, stream] = (shown[cues, stream] + 1.0) / 2.0
    inputs = np.stack([shown, cued, asked], axis=-1)
    return Streams(*(torch.from_numpy(a.astype(np.float32)) for a in (inputs, targets, asked)))


def _forecasting(series: NDArray[np.float32], scored: int | None = None) -> Streams:
    """Inputs are the values, targets those of the next step; with `scored` only the last so many steps count."""
    values = torch.from_numpy(series.T.copy())
    asked = torch.ones_like(values[1:])
    if scored is not None:
        asked[:-scored] = 0.0
    return Streams(values[:-1, :, None], values[1:], asked)


def _chunks(streams: Streams, length: int) -> Sequence[Streams]:
    """Successive pieces of `length` steps, each in memory of its own; a shorter rest is left out."""
    arrays = (streams.inputs, streams.targets, streams.asked)
    edges = range(0, streams.inputs.shape[0] - length + 1, length)
    return [Streams(*(array[start : start + length].clone() for array in arrays)) for start in edges]


def _asked_loss(loss: Callable[..., Tensor]) -> Callable[[Tensor, Streams], Tensor]:
    def mean_where_asked(outputs: Tensor, streams: Streams) -> Tensor:
        losses = loss(outputs, streams.targets, reduction="none")
        return (losses * streams.asked).sum() / streams.asked.sum().clamp(min=1.0)

    return mean_where_asked


def _accuracy(outputs: Tensor, streams: Streams) -> float:
    right = ((outputs > 0) == (streams.targets > 0.5)).float()
    return float((right * streams.asked).sum() / streams.asked.sum())


def _relative_error(outputs: Tensor, streams: Streams) -> float:
    """Geometric mean over series of MAE over that of repeating the last value."""
    error = ((outputs - streams.targets).abs() * streams.asked).sum(0)
    naive = ((streams.inputs[..., 0] - streams.targets).abs() * streams.asked).sum(0)
    return float((error / naive).log().mean().exp())
