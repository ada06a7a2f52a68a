"""Write the golden file of the model with two seasons, trends, errors further ahead, calibration and drift.

    python -m tests.golden.make_seasons_golden

As `make_golden`, whose simpler model this one extends: plain numpy in float64, and no code of the model's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.golden.make_golden import FAN_EVERY, HERE, Array, Memory, Network, calendar, copied, series, silu

NAME = "two-seasons"
DAMPING, SLOPE_RATES = (0.97, 0.85), (0.04, 0.1)
OWN, SHARED, RAMP = 0.002, 0.005, 0.2


class SeasonsMemory(Memory):
    """What a session remembers, with a longer season, trends, and an origin."""

    def __init__(self, season: int, longer: int, kept: int, shown: int, horizon: int, oldest: int) -> None:
        super().__init__(season)
        self.longer, self.kept, self.shown, self.horizon, self.oldest = longer, kept, shown, horizon, oldest
        self.long_index = np.zeros(longer)
        self.very_slow = self.l3 = self.l4 = 0.0
        self.errors, self.signed, self.far = np.zeros(16), np.zeros(16), np.zeros(16)
        self.origin, self.since_origin = (np.zeros(16), np.zeros(16)), 0

    def observe(self, y: float, known: bool) -> None:
        ahead = self._from_origin() if self.n else None
        past_slow = self.slow_index[(self.n + 1) % self.m]
        super().observe(y, known)
        n, phase = self.n, self.n % self.longer
        change = 0.1 * abs(y) if ahead is None else 0.0
        far = np.full(16, change) if ahead is None else np.abs(y - ahead)
        if known:
            self.far = self.far + max(min(0.04, 0.5 / self.horizon), 1 / max(n - 1, 1)) * (far - self.far)
        plain = y - past_slow
        self.l3 += max(0.04, 1 / n) * (plain - self.long_index[phase] - self.l3)
        self.l4 += max(0.15, 1 / n) * (plain - self.long_index[phase] - self.l4)
        left = plain - self.very_slow - self.long_index[phase]
        late = 3 * self.m - self.longer
        if n >= self.longer + min(late, 0):
            visits = max((n - late) // self.longer, 1) + 1  # the first is one of two, the other is zero
            self.long_index[phase] += max(0.2, 1 / visits) * left
        self.very_slow += max(1 / self.longer, 1 / n) * (y - self.very_slow)
        self.since_origin += 1
        if (n - 1) % self.horizon == 0:
            self.origin, self.since_origin = self._levels(), 0

    def same_phase(self, h: int) -> list[float]:
        ahead = (h - 1) % self.m + 1
        return [self.past(self.m * back - ahead) for back in range(1, self.kept + 1)]

    def experts(self, h: int) -> Array:
        levels, slopes = self._levels()
        return levels + _growth(h) * slopes + self._season(h)

    def _levels(self) -> tuple[Array, Array]:
        """(16,) what each expert starts from, and (16,) its slope."""
        walk = self.history[-1] - self.slow_index[self.n % self.m]
        longer = walk - self.long_index[self.n % self.longer]
        plain = [self.history[-1], self.fast_level, 0.0, 0.0, walk, self.l1, self.l2, (walk + self.l1) / 2, self.l0]
        found = [*plain, self.slow_level, walk, walk, longer, self.l3, self.l4, (longer + self.l4) / 2]
        slopes = np.zeros(16)
        slow, fast = SLOPE_RATES
        slopes[10:12] = (walk - self.l0) * slow / (1 - slow), (walk - self.l1) * fast / (1 - fast)
        return np.array(found), slopes

    def _season(self, h: int) -> Array:
        """(16,) what each expert adds for the phase of h steps ahead."""
        slow, fast = self.slow_index[(self.n + h) % self.m], self.fast_index[(self.n + h) % self.m]
        both, same = slow + self.long_index[(self.n + h) % self.longer], self.same_phase(h)
        mean = sum(same) / self.kept
        plain = [0.0, 0.0, same[0], mean, slow, slow, fast, slow, slow, 0.0]
        return np.array([*plain, slow, slow, both, both, both, both])

    def _from_origin(self) -> Array:
        """(16,) what was forecast from the last origin for the next step, with the phases' parts as they are now."""
        levels, slopes = self.origin
        return levels + _growth(self.since_origin + 1) * slopes + self._season(1)

    def error_logs(self) -> tuple[Array, Array]:
        floored = np.maximum(np.concatenate([self.errors, self.far]), 0.02 * self.scale)
        return np.log(floored / floored[:16].min()), np.log(floored / self.scale)

    def inputs(self, known: bool, features: Array) -> Array:
        y, s, n, m = self.history[-1], self.scale, self.n, self.m
        phases = range(1, self.shown + 1)
        ratios = [y - self.past(1), y - float(np.mean([self.past(k) for k in range(m)]))]
        ratios += [y - self.slow_level, y - self.fast_level]
        ratios += [sum(self.same_phase(h)) / self.kept - y for h in phases]
        ratios += [self.slow_index[(n + h) % m] - self.slow_index[n % m] for h in phases]
        ratios += list(self.signed)
        speeds = log(max(self.fast_scale, 1e-3 * s) / max(self.slow_scale, 1e-3 * s))
        logs = [speeds, log(s / (abs(self.slow_level) + s)), log(1 + min(n, self.oldest))]
        flags = [min(n / (4 * m), 1.0), 0.0 if known else 1.0]
        return np.concatenate([np.arcsinh(np.array(ratios) / s), logs, self.error_logs()[1], flags, features])


def _growth(h: int) -> Array:
    """(16,) what a slope of one adds up to in h steps."""
    found = np.zeros(16)
    found[10:12] = [sum(damping**step for step in range(1, h + 1)) for damping in DAMPING]
    return found


class Intervals:
    """Offsets of one session's quantiles by anchor, and the fan of its last origin."""

    def __init__(self, quantiles: Sequence[float], anchors: Sequence[int]) -> None:
        self.q, self.anchors, self.side = quantiles, anchors, len(quantiles) // 2
        self.offsets = np.zeros((len(anchors), 2 * self.side))

    def observe(self, y: float, expected: dict[int, Array]) -> None:
        """An actual, and by anchor the (Q,) quantiles that were kept for it."""
        outwards = [*range(self.side - 1, -1, -1), *range(self.side + 1, 2 * self.side + 1)]
        for anchor, quantiles in expected.items():
            row, moves = self.offsets[self.anchors.index(anchor)], np.zeros(2 * self.side)
            for edge, k in enumerate(outwards):
                aim, away = max(self.q[k], 1 - self.q[k]), abs(quantiles[k] - quantiles[self.side])
                out = (y - quantiles[self.side]) * (1 if k > self.side else -1)
                beyond = (out / max(away, 1e-100) - 1) / RAMP - 0.5  # from -1 to 0 over the ramp around the quantile
                passed = aim + min(max(beyond, -1.0), 0.0)
                moves[edge] += OWN / (1 - aim) * passed
                moves += SHARED / (1 - aim) ** 0.5 * passed
            row[:] = np.clip(row + moves * (1.0 if anchor == 1 else 2.0), -0.9, 3.0)

    def stretch(self, h: int) -> Array:
        """(2 side,) of the distances between quantiles at h steps ahead."""
        return 1 + np.array([np.interp(h, self.anchors, column) for column in self.offsets.T])


class Alarm:
    """Page's three sums over one session's errors, and their alarm."""

    def __init__(self) -> None:
        self.sums, self.size, self.left, self.lasted = np.zeros(3), 0.0, 0.0, 0.0

    def observe(self, error: float | None, scale: float, n: int) -> int:
        """An error, None for a missing value, of a session that has seen n; how long the alarm has lasted, or 0."""
        self.lasted = self.lasted * min(self.left, 1.0) + 1
        self.size = unit = max(self.size, 0.02 * scale)
        if error is not None:
            z = min(max(error / unit, -4.0), 4.0)
            self.size = unit + max(0.01, 1 / (n - 1)) * unit * (abs(z) - 1)
            if n > 30:
                self.sums = np.maximum(self.sums + np.array([z - 1.0, -z - 1.0, abs(z) - 1.5]), 0.0)
                self.left = max(self.left - 1, 0.0)
        raised = float(np.clip(self.sums - np.array([11.5, 11.5, 16.0]), 0.0, 1.0).max())
        self.sums = (1 - raised) * self.sums
        self.left += raised * (32.0 - self.left)
        return round(self.lasted) if self.left >= 1 else 0


class SeasonsNetwork(Network):
    """The weights of the artifact and what they compute."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        made = json.loads((folder / "model.json").read_text())["architecture"]
        self.anchors: list[int] = made["anchors"]
        self.remembered = [made[name] for name in ("season", "longer", "kept", "shown", "horizon", "oldest")]

    def quantiles_of(self, memory: Memory, hidden: Array, h: int, stretch: Array) -> Array:
        """(Q,) at h steps ahead."""
        w, y, s = self.w, memory.history[-1], memory.scale
        gaps = memory.experts(h) - y
        over_smallest, over_scale = memory.error_logs()
        u = (w["head.from_state.weight"] @ hidden) * (1 + w["head.gain"][h - 1]) + w["head.offset"][h - 1]
        shown = np.concatenate([np.arcsinh(gaps / s), over_scale])
        u = silu(u + w["head.from_experts.weight"] @ shown + w["head.from_experts.bias"])
        raw = w["head.out.weight"] @ u + w["head.out.bias"]
        near, far = np.split(over_smallest, 2)
        logits = raw[:16] - w["head.prior"][h - 1, 0] * near - w["head.far_prior"][h - 1, 0] * far
        shares = np.exp(logits - logits.max())
        centre = y + float(shares @ gaps) / float(shares.sum()) + s * raw[16]
        spreads = s * (raw[17:] + np.sqrt(raw[17:] ** 2 + 1)) / 2 * stretch
        side = len(self.quantiles) // 2
        below, above = np.cumsum(spreads[:side]), np.cumsum(spreads[side:])
        return np.concatenate([centre - below[::-1], [centre], centre + above])


class Session:
    """One session of the network, folded stretch by stretch between missing values."""

    def __init__(self, network: SeasonsNetwork) -> None:
        self.network, self.memory, self.state = network, SeasonsMemory(*network.remembered), None
        self.intervals, self.alarm = Intervals(network.quantiles, network.anchors), Alarm()
        self.fan, self.kept = np.zeros((network.horizon, len(network.quantiles))), np.zeros(0)

    def fold(self, values: Array, features: Array) -> Iterator[tuple[Array, int]]:
        """After each value, of which only the first may be missing: the fan (H, Q), and how long an alarm lasted."""
        missing = np.isnan(values)
        snapshots, inputs = [], []
        for t, value in enumerate(values):
            stand_in = self.fan[0, len(self.network.quantiles) // 2] if missing[t] else value
            self.memory.observe(float(stand_in), not missing[t])
            inputs.append(self.memory.inputs(not missing[t], features[t]))
            snapshots.append(self._snapshot())
        hidden, self.state = self.network.recur(np.array(inputs), self.state)
        for t, (memory, top) in enumerate(zip(snapshots, hidden, strict=True)):
            yield self._observed(memory, top, None if missing[t] else float(values[t]))

    def _observed(self, memory: SeasonsMemory, top: Array, value: float | None) -> tuple[Array, int]:
        median, n, error = len(self.network.quantiles) // 2, memory.n, None
        if value is not None and n > 1:
            ahead = (n - 2) % self.network.horizon + 1  # steps since the last origin
            kept = {ahead: self.kept[ahead - 1]} if ahead in self.network.anchors[1:] else {}
            self.intervals.observe(value, {1: self.fan[0], **kept})
            error = value - float(self.fan[0, median])
        lasted = self.alarm.observe(error, memory.scale, n)
        rows = [
            self.network.quantiles_of(memory, top, h, self.intervals.stretch(h))
            for h in range(1, self.network.horizon + 1)
        ]
        self.fan = np.stack(rows)
        if (n - 1) % self.network.horizon == 0:
            self.kept = self.fan
        return self.fan, lasted

    def _snapshot(self) -> SeasonsMemory:
        copy = SeasonsMemory(*self.network.remembered)
        copy.__dict__.update(vars(copied(self.memory)))
        return copy


def all_series() -> dict[str, tuple[Array, Array]]:
    """Those of every golden file, and one that goes another way."""
    rng = np.random.default_rng(20240301)
    rising = np.maximum(np.arange(110) - 60.0, 0.0)
    turning = 5.0 + np.resize([0.0, 2.0, 1.0, -1.0, -2.0, 0.0], 110) + rng.standard_normal(110) / 2 + 6.0 * rising
    return {**series(), "another_way": (turning, calendar(110, date(2025, 1, 1)))}


def forecasts(network: SeasonsNetwork, values: Array, features: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """(T, H, Q) the fan after each observation, zeros before the first known value, and (T,) how long alarms lasted."""
    fans, lasted = np.zeros((len(values), network.horizon, len(network.quantiles))), np.zeros(len(values), np.int64)
    session, missing = Session(network), np.isnan(values)
    start = int(np.argmin(missing))
    while start < len(values):
        gaps = np.flatnonzero(missing[start + 1 :])
        end = start + 1 + int(gaps[0]) if len(gaps) else len(values)
        for t, (fan, alarm) in enumerate(session.fold(values[start:end], features[start:end]), start):
            fans[t], lasted[t] = fan, alarm
        start = end
    return fans, lasted


def main() -> None:
    network, arrays = SeasonsNetwork(HERE / "artifacts" / NAME / "1"), dict[str, npt.NDArray[Any]]()
    for name, (values, features) in all_series().items():
        fans, lasted = forecasts(network, values, features)
        arrays |= {f"{name}.values": values, f"{name}.calendar": features, f"{name}.alarmed": lasted}
        arrays |= {f"{name}.issued": fans[:, 0], f"{name}.fans": fans[::-FAN_EVERY][::-1]}
    np.savez_compressed(HERE / f"{NAME}.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
