"""Training by truncated BPTT: unrolled windows, state carried or fresh, validated by streaming meanwhile."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.data import Series, digest
from models.mixture import Mixture
from models.synthetic import series as synthetic
from models.synthetic.seasons import Rhythm
from models.training import checkpoints
from models.training.curve import Mean, Point, Progress, training_curve
from models.training.learner import Learner
from models.training.losses import batches, unrolled_losses
from models.training.phases import Phase, phases
from models.training.recipe import Recipe, Source
from models.training.start import Start
from models.training.validation import Validation, validation_parts
from models.training.windows import Sampler, pool_of

BATCHES_DRAWN = 24
"""Batches whose windows are drawn together, and whose missing values are stood in for by the same weights."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How long, where from and where to.

    Attributes:
        data: folder with the recipe's files.
        run: folder for checkpoints, the training curve and the log; a training interrupted there is resumed, and where
            one is ended, one with other options or data begins.
        updates: length of the training; the same seed, length and threads give the same weights on one machine.
        minutes: length by the clock instead (None: by `updates`).
        synthetic_series: how many synthetic series are drawn.
        validate_every: updates from one validation to the next.
        patience: validations without a lesser error after which the training stops, and the weights of the least one
            are kept: such a training has no ending. None trains to the end and keeps what is learned then.
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

    @property
    def length(self) -> float:
        """Of the training: its updates, or seconds where it goes by the clock."""
        return self.updates if self.minutes is None else 60.0 * self.minutes

    def spent(self, progress: Progress) -> float:
        """How much of its length is over."""
        return progress.update if self.minutes is None else progress.seconds


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
    threads: int
    sha256: str
    rows: list[Rows]
    curve: list[Point]
    picture: Path
    start: Start | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the weights are those of the model that it began with, as none were better."""
        return self.start is not None and self.kept == 0


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
    options = _effective(options)
    recipe, read = options.recipe, _read(options)
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
    learner = Learner(module)
    identity = _identity(options, sha256)
    before = checkpoints.ended(options.run)
    progress = checkpoints.resume(options.run, identity, learner) or Progress()
    if before is not None and not progress.curve:
        report.note(f"the training of {before.label} in {options.run} is ended: this one begins anew there")
    if progress.update:
        report.note(f"resumed after {progress.update} updates")
    _Training(options, identity, learner, sampler, validation, progress, report).go_on()
    picture = training_curve(progress.curve, options.run / "curve.png", progress.began or None)
    kept = progress.update
    module = learner.learned
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
        threads=options.threads,
        sha256=sha256,
        rows=rows,
        curve=progress.curve,
        picture=picture,
        start=options.start,
    )


def ended(options: TrainOptions) -> checkpoints.Ended | None:
    """What became of this very training, where it came to its end before.

    Raises:
        DataError: a file cannot be used.
    """
    found, options = checkpoints.ended(options.run), _effective(options)
    if found is None:
        return None
    sha256 = digest(one for series in _read(options) for one in series)
    return None if checkpoints.different(options.run, _identity(options, sha256)) else found


def _effective(options: TrainOptions) -> TrainOptions:
    """Nobody foresees when patience ends a training, so that has no ending."""
    return options if options.patience is None else replace(options, recipe=options.recipe.without_ending())


def _read(options: TrainOptions) -> list[list[Series]]:
    """The train split of each source."""
    recipe = options.recipe
    return [source.read(options.data, recipe.freqs[0], recipe.model.covariates) for source in recipe.sources]


def _identity(options: TrainOptions, sha256: str) -> dict[str, object]:
    """What a checkpoint must agree with to be gone on from."""
    recipe, start = options.recipe, options.start
    identity: dict[str, object] = {"recipe": recipe.name, "freqs": recipe.freqs, "model": asdict(recipe.model)}
    identity |= {"schedule": asdict(recipe.schedule), "seed": options.seed, "sha256": sha256}
    identity |= {"synthetic_series": options.synthetic_series, "updates": options.updates, "minutes": options.minutes}
    return identity | {"patience": options.patience, "from": start and start.fingerprint}


@dataclass(frozen=True, slots=True)
class _Training:
    """A training and where it stands; learner and progress change."""

    options: TrainOptions
    identity: dict[str, object]
    learner: Learner
    sampler: Sampler
    validation: Validation
    progress: Progress
    report: Report

    def go_on(self) -> None:
        """To its end: that of its length, or of patience."""
        progress = self.progress
        began_at = time.monotonic() - progress.seconds
        if not progress.curve:
            self._validate(float("nan"))
        plan = phases(self.options.recipe.schedule)
        for number, phase in enumerate(plan[progress.phase :], start=progress.phase):
            if number > progress.phase:
                progress.phase, progress.began = number, progress.update
                self.learner.forget_moments()  # the next phase has other windows, and another rate
            self._go_through(phase, began_at)
        if self._is_over():
            best = progress.best_point.update
            self.report.note(f"stopped after {progress.update} updates: the best weights are those of update {best}")

    def _go_through(self, phase: Phase, began_at: float) -> None:
        """The updates of a phase that are still to be done, in a training that began at this time of the clock."""
        options, learner, progress = self.options, self.learner, self.progress
        schedule, sources = phase.schedule, options.recipe.sources
        sampler = self.sampler.under(schedule, [source.weight_in(ending=phase.ending) for source in sources])
        mean_loss = Mean()

        def done() -> float:
            return phase.done(options.spent(progress), options.length)

        while done() < 1.0 and not self._is_over():
            # each draw has a generator of its own: a resumed training draws what an uninterrupted one would have
            rng = np.random.default_rng([options.seed, progress.update])
            windows = sampler.draw(rng, schedule.batch * BATCHES_DRAWN)
            for batch in batches(learner.module, windows, rng, schedule):
                progress.seconds = time.monotonic() - began_at
                if done() >= 1.0:
                    break
                rate = phase.rate(progress.update - progress.began, done())
                for loss in unrolled_losses(learner.module, batch, schedule.unroll):
                    learner.descend(loss, rate)
                    mean_loss.add(float(loss.detach()))
                progress.update += 1
                if phase.is_averaged(progress.update - progress.began, done()):
                    learner.take_into_mean()
                self.report.updated(options.spent(progress) / options.length, mean_loss.value)
            progress.seconds = time.monotonic() - began_at
            every = options.validate_every
            if done() >= 1.0 or progress.update // every > progress.curve[-1].update // every:
                self._validate(mean_loss.value)
                training_curve(progress.curve, options.run / "curve.png", progress.began or None)
                progress.seconds = time.monotonic() - began_at
                checkpoints.save(options.run, self.identity, learner, progress)

    def _validate(self, loss: float) -> None:
        """One more point of the curve; the weights are kept where no earlier ones were better."""
        progress, errors = self.progress, self.validation.relative_error(self.learner.learned)
        point = Point(progress.update, progress.seconds, loss, errors)
        progress.curve.append(point)
        self.report.validated(point)
        if self.options.patience is not None and errors and progress.best_point is point:
            progress.best = {name: value.detach().clone() for name, value in self.learner.learned.state_dict().items()}

    def _is_over(self) -> bool:
        """Whether validation has shown no lesser error for too long."""
        patience, progress = self.options.patience, self.progress
        return patience is not None and bool(progress.best) and progress.stale >= patience


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
