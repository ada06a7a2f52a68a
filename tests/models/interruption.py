"""A training that is stopped on its way."""

from models.training.bptt import Report


class StopAt(Report):
    """Stops a training when so much of it is done."""

    def __init__(self, share: float) -> None:
        self.share = share

    def updated(self, done: float, loss: float) -> None:
        if done > self.share:
            raise KeyboardInterrupt
