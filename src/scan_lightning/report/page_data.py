"""What the page's script draws from: series, ranks and settings of runs as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scan_lightning.report.runs import Run
from scan_lightning.report.training_curve import Points
from scan_lightning.retrieval.queries import Queries

POINTS = 400  # of a series; longer ones are averaged
BORDERS = (1, 5, 10, 20, 50, 100)  # ranks, from 1
BUCKETS = ("1", "2–5", "6–10", "11–20", "21–50", "51–100", "> 100")


def run_data(
    run: Run, queries: Queries | None, *, keys: Sequence[str], curves: bool, compared: bool
) -> dict[str, Any]:
    """Return the values of one run; `keys` are the settings in which the compared runs differ."""
    data: dict[str, Any] = {"name": run.name}
    if curves and run.curves is not None:
        data["losses"] = thinned(run.curves.losses)
        data["recallSums"] = [[step, round(value, 2)] for step, value in run.curves.recalls]
        data["warmup"] = run.settings.get("loss.warmup_steps", 0)
    if queries is not None:
        data["histogram"] = {"i2t": shares(queries.ranks.i2t), "t2i": shares(queries.ranks.t2i)}
    if run.results is not None:
        data["rsum"] = run.rsum
        if compared:
            data["swept"] = {key: str(run.settings.get(key, "")) for key in keys}
            i2t, t2i = (run.results[side]["r1"] for side in ("i2t", "t2i"))
            data["recalls"] = {"i2t R@1": i2t, "t2i R@1": t2i, "rsum": run.rsum}
    return data


def shares(ranks: np.ndarray) -> list[float]:
    """Return the percentage of the 0-based ranks in each of `BUCKETS`."""
    counts = np.bincount(np.searchsorted(BORDERS, ranks + 1), minlength=len(BUCKETS))
    return [round(100.0 * count / max(len(ranks), 1), 2) for count in counts.tolist()]


def thinned(points: Points) -> list[list[float]]:
    """Return a series with at most `POINTS` points, each the mean of its neighbours."""
    if len(points) <= POINTS:
        return [[step, round(value, 3)] for step, value in points]
    parts = np.array_split(np.array(points, dtype=float), POINTS)
    return [[round(float(part[:, 0].mean())), round(float(part[:, 1].mean()), 3)] for part in parts]
