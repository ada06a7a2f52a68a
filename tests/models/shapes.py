"""Architectures of the shipped kinds, small: one season or two, with what is learned of the steps further ahead."""

from models.mixture import MixtureConfig

SHAPES = {
    "daily": MixtureConfig(
        hidden=8, trends=True, far=True, anchors=(1, 2, 4, 7, 14), oldest=40, drift=True, trust=True, last_known=True
    ),
    "hourly": MixtureConfig(
        hidden=8,
        season=6,
        longer=18,
        kept=3,
        horizon=9,
        trends=True,
        far=True,
        anchors=(1, 3, 6, 9),
        drift=True,
        last_known=True,
    ),
    "weekly": MixtureConfig(
        hidden=8, season=13, kept=3, shown=5, horizon=5, trends=True, far=True, anchors=(1, 4), drift=True, trust=True
    ),
    "without anchors": MixtureConfig(hidden=8, horizon=4, trends=True, far=True),
    "drift alone": MixtureConfig(hidden=8, horizon=4, drift=True),
    "trust alone": MixtureConfig(hidden=8, horizon=4, trust=True),
    "last known value alone": MixtureConfig(hidden=8, horizon=4, last_known=True),
    "next step only": MixtureConfig(hidden=8, horizon=4, far=True, anchors=(1,)),
}
