"""Series for files."""

import numpy as np
import pandas as pd


def sales(series: int = 5, days: int = 50) -> pd.DataFrame:
    """Series that stand one after another, of different lengths."""
    lengths = days + np.arange(series) % 7
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"{number:03}" for number in range(series)], lengths),
            "ds": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.concatenate([np.arange(n) for n in lengths]), "D"),
            "y": np.random.default_rng(3).normal(100, 10, lengths.sum()),
        }
    )
