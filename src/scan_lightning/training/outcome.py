"""What an evaluation leaves behind: recalls with their intervals, and the rank of every query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np

from scan_lightning.data.store import Store
from scan_lightning.retrieval.queries import FILE, Queries, pack_queries
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.statistics import intervals
from scan_lightning.training.files import write_whole
from scan_lightning.training.results import results_of, write_results

TOP_K = 10  # items of each query that ranks.npz keeps


class OutcomeWriter(pl.Callback):
    """Writes results.json, results.csv and ranks.npz in the process that has them, whatever started it.

    The module that is validated holds the `ranks`.

    Args:
        run_dir: the run's folder.
        store: what was evaluated on.
        split: of the store.
    """

    def __init__(self, run_dir: Path, store: Store, split: str) -> None:
        self.run_dir, self.store, self.split = run_dir, store, split

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files; results.json, which says that the run is done, last."""
        if trainer.is_global_zero:
            ranks = pl_module.ranks
            assert isinstance(ranks, Ranks)
            queries = store_queries(self.store, self.split, ranks)
            write_whole(self.run_dir / FILE, lambda file: _write(file, pack_queries(queries)))
            write_results(self.run_dir, outcome(ranks, self.split))


def outcome(ranks: Ranks, split: str) -> dict[str, Any]:
    """Return the content of results.json: recalls, and under `interval` their 95 % bootstrap intervals."""
    figures = RetrievalMetrics.from_ranks(ranks).as_dict()
    results = results_of(figures, split=split, images=ranks.image_count, captions=len(ranks.t2i))
    return {**results, "interval": intervals(ranks)}


def store_queries(store: Store, split: str, ranks: Ranks) -> Queries:
    """Put the images' ids and the captions of a split to their ranks."""
    rows = store.image_rows(split)
    captions = store.caption_text(store.caption_rows(split))
    return Queries(split, ranks, [store.image_id(int(row)) for row in np.asarray(rows)], captions)


def _write(file: Any, data: bytes) -> None:
    file.write(data)
