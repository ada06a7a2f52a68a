"""Training by truncated BPTT: unrolled windows, state carried or fresh, validated by the streaming protocol meanwhile.

The memory of the fold depends on no weights, so it is folded once for many windows; the network then runs over them in
batches of `Schedule.batch`, unrolled, and its loss is taken at some positions of each window.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.data import Series, digest
from models.layers.scale import scale_of
from models.layers.window import Window
from models.mixture import Mixture
from models.synthetic import series as synthetic
from models.synthetic.seasons import Rhythm
from models.training import checkpoints
from models.training.covariates import contexts, further, static_rows
from models.training.curve import Mean, Point, Progress, training_curve
from models.training.recipe import Recipe, Schedule, Source
from models.training.start import Start
from models.training.validation import Validation, validation_parts
from models.training.windows import Sampler, Windows, loss_positions, pool_of

BATCHES_DRAWN = 24
"""Batches whose windows are drawn together, and whose missing values are stood in for by the same weights."""

BATCHES_FOLDED = 8
"""Batches whose memory is folded together: more do not stay in the processor's cache, fewer cost more per window."""

FIRST_STEP_WEIGHT = 0.25
"""The part of the loss that is the next step's alone; the rest is spread over the horizon."""

ERROR_LIMIT = 30.0
"""Errors beyond so many scales count as this: one wild value must not drown a batch."""

WARM_UP = 50
CLIP = 1.0
WEIGHT_DECAY = 1e-4
LAST_RATE = 0.02
MOMENTS = (0.9, 0.99)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How long, where from and where to.

    Attributes:
        data: folder with the recipe's files.
        run: folder for checkpoints, the training curve and the log; a training interrupted there is resumed.
        updates: length of the training; the same seed and length give the same weights on one machine.
        minutes: length by the clock instead (None: by `updates`).
        synthetic_series: how many synthetic series are drawn.
        validate_every: updates from one validation to the next.
        patience: validations without a lesser error after which the training stops, and the weights of the least one
            are kept; None trains to the end and keeps the last weights.
        start: the model whose weights are trained further, of the recipe's architecture; None begins anew.
    """

    recipe: Recipe
    data: Path
    run: Path
    updates: int = 10_000
    minutes: float | None = None
    seed: int = 0
    synthetic_series: int = 40_000
    processes: int = 1
    threads: int = 1
    validate_every: int = 480
    patience: int | None = None
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The training rows that were read from one source: how many, and their SHA-256 (see `data.digest`)."""

    source: Source
    series: int
    steps: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gives: the module, what it saw, and its curve.

    Attributes:
        kept: the update whose weights these are, of so many `updates`.
        curve: `curve[0]` is the mixture without a network, or the model whose weights were trained further.
        start: that model.
    """

    module: Mixture
    recipe: Recipe
    updates: int
    kept: int
    seconds: float
    seed: int
    sha256: str
    rows: list[Rows]
    curve: list[Point]
    picture: Path
    start: Start | None = None


class Report:
    """What a training tells its caller; override what is of interest."""

    def note(self, text: str) -> None:
        """A line for the log."""

    def synthetic(self, done: int, total: int) -> None:
        """So many of the synthetic series are drawn."""

    def updated(self, done: float, loss: float) -> None:
        """This part (0 to 1) of the training is done; the loss is a running mean."""

    def validated(self, point: Point) -> None:
        """A validation is done."""


def train(options: TrainOptions, report: Report | None = None) -> Trained:
    """Train a model on the train split of the recipe's sources and on synthetic series.

    Raises:
        DataError: a file cannot be used.
        checkpoints.CheckpointError: `options.run` holds another training's checkpoint.
    """
    report = report or Report()
    torch.set_num_threads(options.threads)
    recipe, schedule = options.recipe, options.recipe.schedule
    read = [source.read(options.data, recipe.freqs[0], recipe.model.covariates) for source in recipe.sources]
    sha256 = digest(one for series in read for one in series)
    rows = [
        Rows(source, len(series), sum(map(len, series)), digest(series))
        for source, series in zip(recipe.sources, read, strict=True)
    ]
    report.note(f"{sum(map(len, read))} series, SHA-256 of the rows read: {sha256}")
    named = [(source.name, series) for source, series in zip(recipe.sources, read, strict=True)]
    parts, validation = validation_parts(named, recipe.model, own=recipe.own)
    sampler = _sampler(options, parts, report)
    torch.manual_seed(options.seed)
    module = Mixture(recipe.model)
    if options.start is not None:
        options.start.give_weights(module)
    optimizer = _optimizer(module, schedule.learning_rate)
    identity = _identity(options, sha256)
    progress = checkpoints.resume(options.run, identity, module, optimizer) or Progress()
    if progress.update:
        report.note(f"resumed after {progress.update} updates")
    _loop(options, module, optimizer, sampler, validation, progress, identity, report)
    picture = training_curve(progress.curve, options.run / "curve.png")
    kept = progress.update
    if progress.best:
        module.load_state_dict(progress.best)
        kept = progress.best_point.update
    return Trained(
        module=module.eval(),
        recipe=recipe,
        updates=progress.update,
        kept=kept,
        seconds=progress.seconds,
        seed=options.seed,
        sha256=sha256,
        rows=rows,
        curve=progress.curve,
        picture=picture,
        start=options.start,
    )


def _identity(options: TrainOptions, sha256: str) -> dict[str, object]:
    """What a checkpoint must agree with to be gone on from."""
    recipe, start = options.recipe, options.start
    identity: dict[str, object] = {"recipe": recipe.name, "model": asdict(recipe.model)}
    identity |= {"schedule": asdict(recipe.schedule), "seed": options.seed, "sha256": sha256}
    identity |= {"synthetic_series": options.synthetic_series, "updates": options.updates, "minutes": options.minutes}
    return identity | {"patience": options.patience, "from": start and start.fingerprint}


def _loop(
    options: TrainOptions,
    module: Mixture,
    optimizer: torch.optim.Optimizer,
    sampler: Sampler,
    validation: Validation,
    progress: Progress,
    identity: dict[str, object],
    report: Report,
) -> None:
    schedule = options.recipe.schedule
    resumed_at = time.monotonic() - progress.seconds
    mean_loss = Mean()
    if not progress.curve:
        _validated(options, module, validation, progress, float("nan"), report)
    while _done(options, progress) < 1.0 and not _is_over(options, progress):
        # each draw has a generator of its own, so that a resumed training draws what an uninterrupted one would have
        rng = np.random.default_rng([options.seed, progress.update])
        windows = sampler.draw(rng, schedule.batch * BATCHES_DRAWN)
        for batch in batches(module, windows, rng, schedule):
            progress.seconds = time.monotonic() - resumed_at
            done = _done(options, progress)
            if done >= 1.0:
                break
            _set_rate(optimizer, schedule.learning_rate, progress.update, done)
            for loss in unrolled_losses(module, batch, schedule.unroll):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(module.parameters(), CLIP)
                optimizer.step()
                mean_loss.add(float(loss.detach()))
            progress.update += 1
            report.updated(done, mean_loss.value)
        progress.seconds = time.monotonic() - resumed_at
        last = _done(options, progress) >= 1.0
        if last or progress.update // options.validate_every > progress.curve[-1].update // options.validate_every:
            _validated(options, module, validation, progress, mean_loss.value, report)
            training_curve(progress.curve, options.run / "curve.png")
            progress.seconds = time.monotonic() - resumed_at
            checkpoints.save(options.run, identity, module, optimizer, progress)
    if _is_over(options, progress):
        best = progress.best_point.update
        report.note(f"stopped after {progress.update} updates: the best weights are those of update {best}")


def _validated(
    options: TrainOptions, module: Mixture, validation: Validation, progress: Progress, loss: float, report: Report
) -> None:
    """One more point of the curve; the weights are kept where no earlier ones were better."""
    point = Point(progress.update, progress.seconds, loss, validation.relative_error(module))
    progress.curve.append(point)
    report.validated(point)
    if options.patience is not None and validation.sources and progress.best_point is point:
        progress.best = {name: value.detach().clone() for name, value in module.state_dict().items()}


def _is_over(options: TrainOptions, progress: Progress) -> bool:
    """Whether validation has shown no lesser error for too long."""
    return options.patience is not None and bool(progress.best) and progress.stale >= options.patience


@dataclass(frozen=True, slots=True)
class Batch:
    """B windows as the network sees them, with what its loss needs.

    Attributes:
        window: inputs of (B, T) steps, and memories at the positions.
        positions: (B, P) steps at which the fan is judged, in order.
        horizons: H of the steps ahead, from 1 on.
        targets: (B, P, H) float64, NaN where nothing is judged.
        beside: (B, P, H, C) float32, covariates of the steps that are judged; C is 0 where there are none.
    """

    window: Window
    positions: Tensor
    horizons: Sequence[int]
    targets: Tensor
    beside: Tensor


def batches(module: Mixture, windows: Windows, rng: np.random.Generator, schedule: Schedule) -> Iterator[Batch]:
    """Fold the memory of many windows at once, and give them out in batches of the schedule's size."""
    values, context = torch.from_numpy(windows.values), torch.from_numpy(contexts(module, windows))
    static = torch.from_numpy(static_rows(windows))
    known = (~torch.isnan(values)).double()
    values = stand_ins(module, values, context, static)
    length, size = windows.values.shape[1], schedule.batch
    places = np.sort(loss_positions(rng, windows.steps, max(length // schedule.positions, 1)), axis=1)
    horizons = judged_horizons(rng, module.config.horizon, schedule.horizons)
    rows = np.arange(len(windows))[:, None, None]
    targets = torch.from_numpy(windows.ahead[rows, places[:, :, None] + np.array(horizons)])
    positions, beside = torch.from_numpy(places), further(module, windows, places, horizons)
    for start in range(0, len(windows), BATCHES_FOLDED * size):
        fold = slice(start, start + BATCHES_FOLDED * size)
        initial = module.initial_state(len(positions[fold]), static[fold])
        folded, _ = module.unroll_memory(values[fold], known[fold], context[fold], initial, positions[fold])
        parts = (folded.memory, folded.inputs, positions[fold], targets[fold], beside[fold])
        for memory, inputs, *others in zip(*(torch.split(part, size) for part in parts), strict=True):
            position, target, covariates = others
            yield Batch(Window(memory, inputs), position, horizons, target, covariates)


def judged_horizons(rng: np.random.Generator, horizon: int, count: int) -> list[int]:
    """So many steps ahead in rising order, the first always, the others at random; all of them where `count` is 0."""
    if not 0 < count < horizon:
        return list(range(1, horizon + 1))
    return [1, *sorted((rng.choice(horizon - 1, count - 1, replace=False) + 2).tolist())]


def stand_ins(module: Mixture, values: Tensor, context: Tensor, static: Tensor | None = None) -> Tensor:
    """Values (N, T) with each missing one replaced by the median that the module, as it is now, issues for it.

    Of the contexts (N, T, ...) the first columns suffice, as `unroll_memory` needs them.

    The windows with gaps are folded step by step, as serving does; gradients never pass through a stand-in.
    """
    gappy = torch.isnan(values).any(dim=1).nonzero().flatten()
    if not len(gappy):
        return values
    filled, median = values[gappy], module.scores.median
    state = module.initial_state(len(gappy), None if static is None else static[gappy])
    with torch.no_grad():
        for t in range(values.shape[1]):
            value = torch.where(torch.isnan(filled[:, t]), state["issued"][:, median], filled[:, t])
            _, state = module.step((filled[:, t], module.beside.whole(context[gappy, t])), state)
            filled[:, t] = value
    values = values.clone()
    values[gappy] = filled
    return values


def unrolled_losses(module: Mixture, batch: Batch, unroll: int) -> Iterator[Tensor]:
    """The loss of each successive unroll of a batch.

    The first starts from the zero state, each further one from where the one before it ended: as a value, without its
    gradient, after the caller has taken its step.
    """
    inputs, memory = batch.window.inputs, batch.window.memory
    state = module.recurrence.initial_state(len(batch.positions))
    for start in range(0, inputs.shape[1], unroll):
        hidden, state = module.recurrence.sequence(inputs[:, start : start + unroll], state)
        inside = (batch.positions >= start) & (batch.positions < start + unroll)
        window, place = inside.nonzero(as_tuple=True)
        step = batch.positions[window, place]
        logs = inputs[window, step][:, module.memory.inputs.logs]
        weights = module.head.fan_weights(batch.horizons)
        beside = batch.beside[window, place]
        fan = module.fan(memory[window, place], logs, hidden[window, step - start], weights, beside=beside)
        yield pinball_loss(module, memory[window, place], fan, batch.targets[window, place])
        state = state.detach()


def pinball_loss(module: Mixture, memory: Tensor, fan: Tensor, targets: Tensor) -> Tensor:
    """Mean pinball loss in units of each session's scale, with extra weight on the next step.

    Args:
        memory: (N, M) rows; fan: (N, H, Q) quantiles, the next step's first; targets: (N, H), NaN where nothing is
            judged.
    """
    judged = ~torch.isnan(targets)
    horizon = fan.shape[1]
    weight = torch.full((horizon,), (1.0 - FIRST_STEP_WEIGHT) / horizon)
    weight[0] += FIRST_STEP_WEIGHT
    weights = judged * weight
    error = torch.where(judged, targets, fan[..., module.scores.median].detach()).unsqueeze(-1) - fan
    scale = scale_of(memory[:, module.memory.columns.scale]).unsqueeze(-1)
    ratio = (error / scale).clamp(-ERROR_LIMIT, ERROR_LIMIT).float()
    levels = module.scores.levels.float()
    loss = torch.maximum(levels * ratio, (levels - 1.0) * ratio).mean(dim=-1)
    return (loss * weights).sum() / weights.sum().clamp(min=1e-9)


def _sampler(options: TrainOptions, parts: list[list[Series]], report: Report) -> Sampler:
    recipe = options.recipe
    total, drawn = options.synthetic_series, 0

    def advance(count: int) -> None:
        nonlocal drawn
        drawn += count
        report.synthetic(drawn, total)

    length = max(396, recipe.schedule.window + recipe.model.horizon)
    rhythm = Rhythm.of(recipe.model.season, recipe.model.longer)
    made = synthetic.draw(
        total, length=length, rhythm=rhythm, seed=options.seed, processes=options.processes, advance=advance
    )
    pools = [pool_of(series) for series in parts]
    weights = [source.weight for source in recipe.sources]
    return Sampler(pools, weights, made, recipe.schedule, rhythm=rhythm, horizon=recipe.model.horizon)


def _optimizer(module: Mixture, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=rate, betas=MOMENTS, weight_decay=WEIGHT_DECAY, fused=True)


def _done(options: TrainOptions, progress: Progress) -> float:
    if options.minutes is not None:
        return progress.seconds / (60.0 * options.minutes)
    return progress.update / options.updates


def _set_rate(optimizer: torch.optim.Optimizer, peak: float, update: int, done: float) -> None:
    """Linear warm-up, then a cosine down to `LAST_RATE` of the peak."""
    cosine = LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1.0, (update + 1) / WARM_UP) * cosine
