"""A module while it learns."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from models.mixture import Mixture

CLIP = 1.0
WEIGHT_DECAY = 1e-4
MOMENTS = (0.9, 0.99)


class Learner:
    """A module, its optimiser, and the mean of its weights over those updates where it was taken."""

    def __init__(self, module: Mixture) -> None:
        self.module, self.average = module, AveragedModel(module)
        self.optimizer = torch.optim.AdamW(module.parameters(), betas=MOMENTS, weight_decay=WEIGHT_DECAY, fused=True)

    @property
    def learned(self) -> Mixture:
        """The module with its mean weights, where there are any."""
        return cast(Mixture, self.average.module) if self.average.n_averaged else self.module

    def descend(self, loss: Tensor, rate: float) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), CLIP)
        self.optimizer.step()

    def take_into_mean(self) -> None:
        """The weights as they are now become part of the mean."""
        self.average.update_parameters(self.module)

    def forget_moments(self) -> None:
        """Of gradients until now."""
        self.optimizer.state.clear()
