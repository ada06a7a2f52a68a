"""Which columns of a file are covariates of the models that its sessions have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from hiddenstate.answers.service import Model


@dataclass(frozen=True, slots=True)
class Taken:
    """The columns of a file that are sent.

    Attributes:
        models: those that its sessions may have.
        observed: columns that are sent with each row; `static` ones are sent where a session is created.
    """

    models: Sequence[Model] = ()
    observed: Sequence[str] = ()
    static: Sequence[str] = ()

    @classmethod
    def of(cls, models: Sequence[Model], columns: Sequence[str]) -> Self:
        """Of these columns, those that any of the models takes."""
        with_rows, of_series = (
            {name for model in models for kind in kinds for name in model.covariates[kind]}
            for kinds in (("past", "known"), ("static",))
        )
        observed = [name for name in columns if name in with_rows]
        return cls(models, observed, [name for name in columns if name in of_series - with_rows])

    @property
    def columns(self) -> list[str]:
        """All of them."""
        return [*self.observed, *self.static]

    @property
    def horizon(self) -> int:
        """Most steps ahead that covariates of the file are taken of; 0 = none is known in advance."""
        return max((model.horizon for model in self._knowing(None)), default=0)

    def known(self, model: str | None) -> tuple[list[str], int]:
        """Columns that are known in advance, and how many steps ahead; where it is not known which model, of them all.

        Args:
            model: `name@version`.
        """
        knowing = self._knowing(model)
        names = [name for name in self.observed if all(name in one.covariates["known"] for one in knowing)]
        return (names, min(one.horizon for one in knowing)) if knowing else ([], 0)

    def static_of(self, model: str) -> list[str]:
        """The static columns that a model takes."""
        taking = self._those(model)
        return [name for name in self.static if any(name in one.covariates["static"] for one in taking)]

    def _those(self, model: str | None) -> list[Model]:
        return [one for one in self.models if one.model == model] or list(self.models)

    def _knowing(self, model: str | None) -> list[Model]:
        return [one for one in self._those(model) if not set(one.covariates["known"]).isdisjoint(self.observed)]
