"""What the page's script draws from: series, ranks and settings of runs as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scan_lightning.report.figures import Points
from scan_lightning.report.runs import Run, flat
from scan_lightning.retrieval.queries import Queries

POINTS = 400  # of a series; longer ones are averaged
BORDERS = (1, 5, 10, 20, 50, 100)  # ranks, from 1
BUCKETS = ("1", "2–5", "6–10", "11–20", "21–50", "51–100", "> 100")


def run_data(
    run: Run, queries: Queries | None, *, keys: Sequence[str], curves: bool, compared: bool
) -> dict[str, Any]:
    """The values of one run.

    Args:
        run: Which one.
        queries: The run's ranks, its own or those found by the report.
        keys: The settings in which the report's runs differ.
        curves: Whether its training curves are drawn.
        compared: Whether it stands among the runs of the sweep.
    """
    data: dict[str, Any] = {"name": run.name}
    if curves and run.curves is not None:
        data["losses"] = thinned(run.curves.losses)
        data["recallSums"] = [[step, round(value, 2)] for step, value in run.curves.recalls]
        data["warmup"] = flat(run.settings).get("loss.warmup_steps", 0)
    if queries is not None:
        data["histogram"] = {"i2t": shares(queries.ranks.i2t), "t2i": shares(queries.ranks.t2i)}
    if run.results is not None:
        data["rsum"] = run.results["rsum"]
    if compared and run.results is not None and run.settings:
        settings = flat(run.settings)
        data["swept"] = {key: str(settings.get(key, "")) for key in keys}
        data["recalls"] = {
            "i2t R@1": run.results["i2t"]["r1"],
            "t2i R@1": run.results["t2i"]["r1"],
            "rsum": run.results["rsum"],
        }
    return data


def shares(ranks: np.ndarray) -> list[float]:
    """Percent of the 0-based ranks in each of `BUCKETS`."""
    places = np.searchsorted(BORDERS, ranks + 1)
    counts = np.bincount(places, minlength=len(BUCKETS))
    return [round(float(100.0 * count / max(len(ranks), 1)), 2) for count in counts]


def thinned(points: Points) -> list[list[float]]:
    """A series with at most `POINTS` points, each the mean of its neighbours."""
    if len(points) <= POINTS:
        return [[step, round(value, 3)] for step, value in points]
    parts = np.array_split(np.array(points, dtype=float), POINTS)
    return [[round(float(part[:, 0].mean())), round(float(part[:, 1].mean()), 3)] for part in parts]
