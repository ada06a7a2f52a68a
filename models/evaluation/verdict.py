"""Whether a model is worth having: better or worse than repeating the last value, and by how much."""

from dataclasses import dataclass
from math import isnan

from models.evaluation.baselines import NAIVE
from models.evaluation.scoring import NEGLIGIBLE, HorizonScores, StreamScores
from models.evaluation.streaming import Evaluation

RIVAL = "repeating the last value"


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a model, from its scores on test parts, one step ahead and of the whole horizon.

    Attributes:
        label: name@version.
        scores: one step ahead; None where there was nothing to score.
        horizon, naive: of the whole horizon, the model's and those of repeating the last value; None likewise.
    """

    label: str
    scores: StreamScores | None
    horizon: HorizonScores | None = None
    naive: HorizonScores | None = None

    @classmethod
    def of(cls, evaluation: Evaluation | None, label: str) -> "Verdict":
        """On the model with this label, on all series of an evaluation alike."""
        rows = [row for row in evaluation.rows if row.forecaster == label] if evaluation else []
        if evaluation is None or not rows or not rows[-1].stream.series or isnan(rows[-1].stream.relative_mae):
            return cls(label, None)
        row = rows[-1]
        naive = evaluation.row(row.collection, NAIVE).horizon
        judged = row.horizon.series and not isnan(row.horizon.mase) and not isnan(naive.mase)
        return cls(label, row.stream, row.horizon, naive) if judged else cls(label, row.stream)

    @property
    def is_worse(self) -> bool:
        """Whether the model was scored, and has no less error than repeating the last value: on either."""
        return self._is_worse_next or self._is_worse_ahead

    @property
    def _is_worse_next(self) -> bool:
        return self.scores is not None and self.scores.relative_mae >= 1.0

    @property
    def _is_worse_ahead(self) -> bool:
        return self._error_ahead >= 1.0

    @property
    def _error_ahead(self) -> float:
        """Of the horizon, over that of repeating the last value; NaN where it was not scored."""
        if self.horizon is None or self.naive is None:
            return float("nan")
        return (self.horizon.mase + NEGLIGIBLE) / (self.naive.mase + NEGLIGIBLE)

    def __str__(self) -> str:
        if self.scores is None:
            return f"{self.label} was not scored: whether it is better than {RIVAL} is not known"
        error, series = self.scores.relative_mae, self.scores.series - self.scores.unscaled
        won = f"on {round(self.scores.win_share * series)} of {series} series"
        won = f"better {won}" if self._is_worse_next else won
        return f"{self.label} {self._judged}: relMAE {error:.4f}, {difference(error)}; {won}; {self._ahead}"

    @property
    def _judged(self) -> str:
        match self._is_worse_next, self._is_worse_ahead:
            case True, False if not isnan(self._error_ahead):
                return f"is WORSE than {RIVAL} one step ahead, and better over the horizon"
            case False, True:
                return f"is better than {RIVAL} one step ahead, and WORSE over the horizon"
            case is_worse, _:
                return f"is {'WORSE' if is_worse else 'better'} than {RIVAL}"

    @property
    def _ahead(self) -> str:
        if self.horizon is None or self.naive is None:
            return "the horizon was not scored"
        figures = f"MASE {self.horizon.mase:.4f} for {self.naive.mase:.4f}"
        return f"over the horizon of {self.horizon.horizon} steps {figures}, {difference(self._error_ahead)}"


def gain(evaluation: Evaluation, label: str, other: str, called: str) -> str:
    """What the model with this label has in place of another one's error, on all series of an evaluation alike.

    Args:
        other: the name of the other one's rows; `called` for people.
    """
    collection = evaluation.rows[-1].collection
    ours, theirs = evaluation.row(collection, label), evaluation.row(collection, other)
    step, steps = (ours.stream.relative_mae, theirs.stream.relative_mae), (ours.horizon.mase, theirs.horizon.mase)
    ahead = (steps[0] + NEGLIGIBLE) / (steps[1] + NEGLIGIBLE)
    return (
        f"{label} has {difference(step[0] / step[1])} than {called}: relMAE {step[0]:.4f} for {step[1]:.4f}; over the "
        f"horizon MASE {steps[0]:.4f} for {steps[1]:.4f}, {difference(ahead)}"
    )


def difference(ratio: float) -> str:
    """Of an error over another, in words."""
    return f"{100 * abs(1.0 - ratio):.1f} % {'more' if ratio >= 1.0 else 'less'} error"
