"""Sales of a shop, which covariates move.

They are 20 more on days of a promotion, which is known in advance, and 5 more for each millimetre of rain a day before.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

PROMOTED = 20.0
Json = dict[str, Any]


def write_shops(path: Path, *, series: int = 8, days: int = 200) -> Path:
    """Training series, as CSV."""
    rng = np.random.default_rng(7)
    lines = ["unique_id,ds,y,promo,rain,area_km2"]
    for shop in range(series):
        for one in days_of(rng, days):
            promo, rain = one["covariates"]["promo"], one["covariates"]["rain"]
            lines.append(f"shop-{shop},{one['timestamp']},{one['value']},{promo},{rain},{shop % 3}")
    path.write_text("\n".join(lines) + "\n")
    return path


def days_of(rng: np.random.Generator, days: int, *, ahead: int = 5) -> list[Json]:
    """Observations of one shop, each with what is known of the promotions of the next days."""
    promo = (rng.random(days + ahead) < 0.25).astype(int).tolist()
    rain = rng.gamma(1.0, 1.0, days).round(3).tolist()
    made = []
    for day in range(days):
        value = 100.0 + PROMOTED * promo[day] + 5.0 * (rain[day - 1] if day else 0.0) + 2.0 * rng.standard_normal()
        made.append(
            {
                "timestamp": str(date(2025, 1, 1) + timedelta(days=day)),
                "value": round(value, 4),
                "covariates": {"promo": promo[day], "rain": rain[day]},
                "future": [{"promo": known} for known in promo[day + 1 : day + 1 + ahead]],
            }
        )
    return made


def bare(observations: list[Json]) -> list[Json]:
    """The same without covariates."""
    return [{"timestamp": one["timestamp"], "value": one["value"]} for one in observations]
