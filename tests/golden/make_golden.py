"""Write the golden files: what three published artifacts must forecast, by a second implementation of the model.

    python tests/golden/make_golden.py

Written from the description of the model and sharing no code with it: plain numpy in float64, histories instead of
rings, phases by remainder, true logarithms, and one call of `torch.nn.LSTM` over the whole series (over each stretch
between missing values where there are any, since a missing value's stand-in is the median that was issued for it).
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from math import cos, log, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
MODELS = ("one-layer", "three-layers", "two-layers")
FAN_EVERY = 9
"""Steps between two whole fans in a golden file; the next step's quantiles are there for every step."""

Array = npt.NDArray[np.float64]


def series() -> dict[str, tuple[Array, Array]]:
    """Five series with their calendars: (T,) values, NaN where missing, and (T, 5) features."""
    rng = np.random.default_rng(20240229)
    week = np.array([5.0, 4.0, 4.0, 5.0, 8.0, 1.0, 0.3])
    counts = rng.poisson(np.resize(week, 120)).astype(np.float64)
    late = np.concatenate([np.zeros(35), rng.poisson(0.4, 55).astype(np.float64)])
    late[35] = 3.0
    gappy = 20.0 + np.resize(week, 100) + rng.standard_normal(100).cumsum() / 3
    gappy[[0, 1, 2, 9, 30, 31, 32, 33, 60, 75]] = np.nan
    huge = 1e12 * (1.0 + 0.01 * rng.standard_normal(90).cumsum() + 0.02 * np.resize(week, 90))
    signs = 1e-3 * rng.standard_normal(110) * np.where(np.arange(110) % 2, 1.0, -1.0) - 5e-4
    return {
        "counts": (counts, calendar(120, date(2023, 12, 20))),
        "zeros_then_a_count": (late, calendar(90, None)),
        "first_missing": (gappy, calendar(100, date(2024, 2, 20))),
        "huge": (huge, calendar(90, None)),
        "sign_changes": (signs, calendar(110, date(2025, 6, 1))),
    }


def calendar(steps: int, first: date | None) -> Array:
    """Known flag, sine and cosine of the week and of the year, for days from `first`; zeros without dates."""
    rows = np.zeros((steps, 5))
    for t in range(steps if first else 0):
        day = (first or date.min) + timedelta(days=t)
        week, year = 2 * pi * day.weekday() / 7, 2 * pi * (day.timetuple().tm_yday - 1) / 365.25
        rows[t] = 1.0, sin(week), cos(week), sin(year), cos(year)
    return rows


class Memory:
    """One session's memory outside of the network: everything it knows after the values given to `observe`."""

    def __init__(self, season: int) -> None:
        self.m = season
        self.history: list[float] = []  # from the first known value on, stand-ins included
        self.fast_scale = self.slow_scale = self.peak = 0.0
        self.fast_level = self.slow_level = 0.0
        self.slow_index, self.fast_index = np.zeros(season), np.zeros(season)  # by phase = steps modulo season
        self.l0 = self.l1 = self.l2 = 0.0
        self.errors = np.zeros(10)
        self.signed = np.zeros(10)

    @property
    def n(self) -> int:
        return len(self.history)

    def past(self, steps: int) -> float:
        """The value `steps` ago; the latest one where there is none."""
        return self.history[-1 - steps] if steps < self.n else self.history[-1]

    @property
    def scale(self) -> float:
        return max(self.fast_scale, 0.1 * self.slow_scale, 1e-6 * self.peak, 1e-30)

    def observe(self, y: float, known: bool) -> None:
        forecasts = self.experts(1) if self.n else None
        change = abs(y - self.history[-1]) if self.n else 0.1 * abs(y)
        self.history.append(y)
        n = self.n
        if known:
            self.fast_scale += max(1 / 20, 1 / max(n - 1, 1)) * (change - self.fast_scale)
            self.slow_scale += max(1 / 100, 1 / max(n - 1, 1)) * (change - self.slow_scale)
        self.peak = max(abs(y), 0.99 * self.peak)
        self.fast_level += max(0.25, 1 / n) * (y - self.fast_level)
        self.slow_level += max(0.03, 1 / n) * (y - self.slow_level)
        self._observe_season(y)
        self.signed = np.full(len(self.errors), change) if forecasts is None else y - forecasts
        if known:
            self.errors = self.errors + max(0.04, 1 / max(n - 1, 1)) * (np.abs(self.signed) - self.errors)

    def _observe_season(self, y: float) -> None:
        n, m = self.n, self.m
        if visits := n // m:
            late = m // 2
            deviation = self.past(late) - np.mean([self.past(k) for k in range(m)])
            phase = (n - late) % m
            self.slow_index[phase] += max(0.07, 1 / visits) * (deviation - self.slow_index[phase])
            self.fast_index[phase] += max(0.3, 1 / visits) * (deviation - self.fast_index[phase])
        slow, fast = self.slow_index[n % m], self.fast_index[n % m]
        self.l0 += max(0.04, 1 / n) * (y - slow - self.l0)
        self.l1 += max(0.1, 1 / n) * (y - slow - self.l1)
        self.l2 += max(0.3, 1 / n) * (y - fast - self.l2)

    def same_phase(self, h: int) -> list[float]:
        """The last four values of the phase of h steps ahead, latest first."""
        ahead = (h - 1) % self.m + 1
        return [self.past(self.m * back - ahead) for back in (1, 2, 3, 4)]

    def experts(self, h: int) -> Array:
        y, now, then = self.history[-1], self.n % self.m, (self.n + h) % self.m
        walk = y - self.slow_index[now] + self.slow_index[then]
        smoothed = self.l1 + self.slow_index[then]
        same = self.same_phase(h)
        quick = self.l2 + self.fast_index[then]
        steady = self.l0 + self.slow_index[then]
        mean = sum(same) / 4
        return np.array(
            [y, self.fast_level, same[0], mean, walk, smoothed, quick, (walk + smoothed) / 2, steady, self.slow_level]
        )

    def error_logs(self) -> tuple[Array, Array]:
        """Logarithms of the experts' errors over the smallest one, and over the scale."""
        floored = np.maximum(self.errors, 0.02 * self.scale)
        return np.log(floored / floored.min()), np.log(floored / self.scale)

    def inputs(self, known: bool, features: Array) -> Array:
        y, s, n, m = self.history[-1], self.scale, self.n, self.m
        ratios = [y - self.past(1), y - float(np.mean([self.past(k) for k in range(m)]))]
        ratios += [y - self.slow_level, y - self.fast_level]
        ratios += [sum(self.same_phase(h)) / 4 - y for h in range(1, m + 1)]
        ratios += [self.slow_index[(n + h) % m] - self.slow_index[n % m] for h in range(1, m + 1)]
        ratios += list(self.signed)
        logs = [
            log(max(self.fast_scale, 1e-3 * s) / max(self.slow_scale, 1e-3 * s)),
            log(s / (abs(self.slow_level) + s)),
            log(1 + n),
        ]
        flags = [min(n / (4 * m), 1.0), 0.0 if known else 1.0]
        return np.concatenate([np.arcsinh(np.array(ratios) / s), logs, self.error_logs()[1], flags, features])


class Network:
    """The weights of one artifact and what they compute."""

    def __init__(self, folder: Path) -> None:
        architecture: dict[str, Any] = json.loads((folder / "model.json").read_text())["architecture"]
        self.season, self.horizon = architecture["season"], architecture["horizon"]
        self.quantiles = architecture["quantiles"]
        weights = {name: tensor.double() for name, tensor in load_file(folder / "weights.safetensors").items()}
        self.w = {name: tensor.numpy() for name, tensor in weights.items()}
        hidden = architecture["hidden"]
        self.lstm = torch.nn.LSTM(hidden, hidden, architecture["layers"], dtype=torch.float64)
        prefix = "recurrence.lstm."
        self.lstm.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})

    def recur(self, inputs: Array, state: Any) -> tuple[Array, Any]:  # noqa: ANN401 - nn.LSTM's own pair, or None
        """(T, F) -> (T, hidden) in one call of `torch.nn.LSTM`."""
        embedded = silu(inputs @ self.w["recurrence.embed.weight"].T + self.w["recurrence.embed.bias"])
        with torch.no_grad():
            hidden, state = self.lstm(torch.from_numpy(embedded), state)
        return hidden.numpy(), state

    def fan(self, memory: Memory, hidden: Array) -> Array:
        """(H, Q) from what a session remembers and the top layer's hidden state."""
        return np.stack([self._quantiles(memory, hidden, h) for h in range(1, self.horizon + 1)])

    def _quantiles(self, memory: Memory, hidden: Array, h: int) -> Array:
        w, y, s = self.w, memory.history[-1], memory.scale
        gaps = memory.experts(h) - y
        over_smallest, over_scale = memory.error_logs()
        u = (w["head.from_state.weight"] @ hidden) * (1 + w["head.gain"][h - 1]) + w["head.offset"][h - 1]
        shown = np.concatenate([np.arcsinh(gaps / s), over_scale])
        u = silu(u + w["head.from_experts.weight"] @ shown + w["head.from_experts.bias"])
        raw = w["head.out.weight"] @ u + w["head.out.bias"]
        logits = raw[:10] - w["head.prior"][h - 1, 0] * over_smallest
        shares = np.exp(logits - logits.max())
        centre = y + float(shares @ gaps) / float(shares.sum()) + s * raw[10]
        spreads = s * (raw[11:] + np.sqrt(raw[11:] ** 2 + 1)) / 2
        side = len(self.quantiles) // 2
        below, above = np.cumsum(spreads[:side]), np.cumsum(spreads[side:])
        return np.concatenate([centre - below[::-1], [centre], centre + above])


def silu(x: Array) -> Array:
    activated: Array = x / (1 + np.exp(-x))
    return activated


def forecasts(network: Network, values: Array, features: Array) -> Array:
    """(T, H, Q): the fan after each observation; zeros before the first known value."""
    fans = np.zeros((len(values), network.horizon, len(network.quantiles)))
    memory, state = Memory(network.season), None
    missing = np.isnan(values)
    start = int(np.argmin(missing))
    while start < len(values):
        gaps = np.flatnonzero(missing[start + 1 :])
        end = start + 1 + int(gaps[0]) if len(gaps) else len(values)
        # every state of the stretch is known before its hidden states are: only the head needs both
        snapshots, inputs = [], []
        for t in range(start, end):
            stand_in = fans[t - 1, 0, len(network.quantiles) // 2] if missing[t] else values[t]
            memory.observe(float(stand_in), not missing[t])
            inputs.append(memory.inputs(not missing[t], features[t]))
            snapshots.append(copied(memory))
        hidden, state = network.recur(np.array(inputs), state)
        fans[start:end] = [network.fan(past, top) for past, top in zip(snapshots, hidden, strict=True)]
        start = end
    return fans


def copied(memory: Memory) -> Memory:
    copy = Memory(memory.m)
    copy.__dict__.update({k: v.copy() if isinstance(v, list | np.ndarray) else v for k, v in vars(memory).items()})
    return copy


def main() -> None:
    for config in (HERE / "artifacts" / name / "1" / "model.json" for name in MODELS):
        network = Network(config.parent)
        arrays: dict[str, Array] = {}
        for name, (values, features) in series().items():
            fans = forecasts(network, values, features)
            arrays |= {f"{name}.values": values, f"{name}.calendar": features}
            arrays |= {f"{name}.issued": fans[:, 0], f"{name}.fans": fans[::-FAN_EVERY][::-1]}
        path = HERE / f"{config.parents[1].name}.npz"
        np.savez_compressed(path, allow_pickle=False, **arrays)
        print(f"{path.name}: {len(series())} series, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
