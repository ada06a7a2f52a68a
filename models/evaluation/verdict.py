"""Whether a model is worth having: better or worse than repeating the last value, and by how much."""

from dataclasses import dataclass
from math import isnan

from models.evaluation.scoring import StreamScores
from models.evaluation.streaming import Evaluation

RIVAL = "repeating the last value"


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a model, from its one-step scores on test parts; None where there was nothing to score.

    Attributes:
        label: name@version.
    """

    label: str
    scores: StreamScores | None

    @classmethod
    def of(cls, evaluation: Evaluation | None, label: str) -> "Verdict":
        """On the model with this label, on all series of an evaluation alike."""
        rows = [row for row in evaluation.rows if row.forecaster == label] if evaluation else []
        scored = rows and rows[-1].stream.series and not isnan(rows[-1].stream.relative_mae)
        return cls(label, rows[-1].stream if scored else None)

    @property
    def is_worse(self) -> bool:
        """Whether the model was scored, and has no less error than repeating the last value."""
        return self.scores is not None and self.scores.relative_mae >= 1.0

    def __str__(self) -> str:
        if self.scores is None:
            return f"{self.label} was not scored: whether it is better than {RIVAL} is not known"
        error, series = self.scores.relative_mae, self.scores.series
        won = f"on {round(self.scores.win_share * series)} of {series} series"
        if self.is_worse:
            share = f"{100 * (error - 1.0):.1f} % more error"
            return f"{self.label} is WORSE than {RIVAL}: relMAE {error:.4f}, {share}; better {won}"
        return f"{self.label} is better than {RIVAL}: relMAE {error:.4f}, {100 * (1.0 - error):.1f} % less error; {won}"
