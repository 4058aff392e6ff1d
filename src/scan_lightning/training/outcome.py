"""What an evaluation leaves behind: recalls with their intervals, and the rank of every query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from rich.console import Console

from scan_lightning.data.store import Store
from scan_lightning.files import write_file
from scan_lightning.report.tables import recall_table
from scan_lightning.retrieval.coco import DEPTH, coco_metrics, is_coco_test
from scan_lightning.retrieval.folds import cut_folds
from scan_lightning.retrieval.queries import FILE, TOP_K, Queries, pack_queries
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.statistics import intervals
from scan_lightning.training.results import results_of, write_results


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
            write_file(self.run_dir / FILE, lambda file: file.write(pack_queries(queries)))
            write_results(self.run_dir, outcome(queries))
        trainer.strategy.barrier("written")  # every process reads the results next


def outcome(queries: Queries) -> dict[str, Any]:
    """Return the content of results.json.

    Beside the recalls: `interval`, their 95 % bootstrap intervals; `coco`, what ECCV Caption and CxC say, for
    COCO's test images where the package with their annotations is installed.
    """
    ranks = queries.ranks
    figures = RetrievalMetrics.from_ranks(ranks).as_dict()
    results = results_of(figures, split=queries.split, images=ranks.image_count, captions=len(ranks.t2i))
    results["interval"] = intervals(ranks)
    beyond = coco_metrics(queries)
    return results if beyond is None else {**results, "coco": beyond}


def depth(store: Store, split: str, folds: int) -> int:
    """Return how many of the best items of each query an evaluation has to find."""
    whole = folds == 1 and is_coco_test([store.image_id(int(row)) for row in store.image_rows(split)])
    return DEPTH if whole else TOP_K


def check_split(store: Store, split: str, folds: int) -> None:
    """Refuse a split that cannot be ranked, before anything is encoded.

    Raises:
        ScanError: the store has no such split, or it cannot be cut into so many folds.
    """
    images = store.image_rows(split)
    owners = np.searchsorted(images, store.caption_image[store.caption_rows(split)])
    cut_folds(len(images), torch.from_numpy(owners), folds)


def print_outcome(results: dict[str, Any], run_dir: Path) -> None:
    """Print the recall table, the figures for COCO when there are any, and where the files are."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(recall_table(results))
    for name, sides in results.get("coco", {}).items():
        console.print(f"{name}: image to text {sides['i2t']:.1f}, text to image {sides['t2i']:.1f}")
    console.print(f"results.json, results.csv and ranks.npz are in {run_dir}")


def store_queries(store: Store, split: str, ranks: Ranks) -> Queries:
    """Put the images' ids and the captions of a split to their ranks."""
    rows = store.image_rows(split)
    captions = store.caption_text(store.caption_rows(split))
    return Queries(split, ranks, [store.image_id(int(row)) for row in np.asarray(rows)], captions)
