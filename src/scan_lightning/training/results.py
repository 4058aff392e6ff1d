"""What an evaluation leaves: results.json, results.csv and ranks.npz of one model on one split."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from rich.console import Console

from scan_lightning.data.store import Store
from scan_lightning.files import write_file, write_json, write_text
from scan_lightning.flatten import flatten
from scan_lightning.report.tables import recall_table
from scan_lightning.retrieval.coco import DEPTH, coco_metrics, is_coco_test
from scan_lightning.retrieval.folds import cut_folds
from scan_lightning.retrieval.queries import FILE, TOP_K, Queries, pack_queries
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.statistics import intervals


class ResultWriter(pl.Callback):
    """Writes the results in the process that has them, whatever started it.

    Args:
        run_dir: the run's folder.
        store: what was evaluated on.
        split: of the store.
        ranks: whether to write ranks.npz.
    """

    def __init__(self, run_dir: Path, store: Store, split: str, *, ranks: bool = True) -> None:
        self.run_dir, self.store, self.split, self.ranks = run_dir, store, split, ranks

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files; results.json, which says that the run is done, last."""
        if trainer.is_global_zero:
            ranks = pl_module.ranks
            assert isinstance(ranks, Ranks)
            queries = store_queries(self.store, self.split, ranks)
            if self.ranks:
                packed = pack_queries(queries)
                write_file(self.run_dir / FILE, lambda file: file.write(packed))
            write_results(self.run_dir, results_of(queries, complete=self.ranks))
        trainer.strategy.barrier("written")  # every process reads the results next


def results_of(queries: Queries, *, complete: bool = True) -> dict[str, Any]:
    """Return the content of results.json.

    Args:
        queries: a ranked split.
        complete: beside the recalls, `interval`, their 95 % bootstrap intervals, and `coco`, what ECCV
            Caption and CxC say, for COCO's test images where the package with their annotations is installed.
    """
    ranks = queries.ranks
    figures = RetrievalMetrics.from_ranks(ranks).as_dict()
    counts = {"images": ranks.image_count, "captions": len(ranks.t2i)}
    kept = {name: figures[name] for name in ("i2t", "t2i", "rsum")}
    results = {"split": queries.split, **counts, **kept}
    if complete:
        results["interval"] = intervals(ranks)
        beyond = coco_metrics(queries)
        if beyond is not None:
            results["coco"] = beyond
    return results


def write_results(run_dir: Path, results: dict[str, Any]) -> None:
    """Write results.csv (one row, the same names with slashes) and results.json."""
    flat = flatten(_with_bounds(results), "/")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat), lineterminator="\n")
    writer.writeheader()
    writer.writerow(flat)
    write_text(run_dir / "results.csv", text.getvalue())
    write_json(run_dir / "results.json", results)


def _with_bounds(values: dict[str, Any]) -> dict[str, Any]:
    """Results with each interval [low, high] as two named values."""
    named: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list):
            value = dict(zip(("low", "high"), value, strict=True))
        named[name] = _with_bounds(value) if isinstance(value, dict) else value
    return named


def depth(store: Store, split: str, folds: int) -> int:
    """Return how many of the best items of each query an evaluation has to find."""
    complete = folds == 1 and is_coco_test([store.image_id(int(row)) for row in store.image_rows(split)])
    return DEPTH if complete else TOP_K


def check_split(store: Store, split: str, folds: int) -> None:
    """Refuse a split that cannot be ranked, before anything is encoded.

    Raises:
        ScanError: the store has no such split, or it cannot be cut into so many folds.
    """
    images = store.image_rows(split)
    owners = np.searchsorted(images, store.caption_image[store.caption_rows(split)])
    cut_folds(len(images), torch.from_numpy(owners), folds)


def print_results(results: dict[str, Any], run_dir: Path) -> None:
    """Print the recall table, the figures for COCO when there are any, and where the files are."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(recall_table(results))
    for name, sides in results.get("coco", {}).items():
        console.print(f"{name}: image to text {sides['i2t']:.1f}, text to image {sides['t2i']:.1f}")
    console.print(f"results.json, results.csv and ranks.npz are in {run_dir}", markup=False)


def store_queries(store: Store, split: str, ranks: Ranks) -> Queries:
    """Add the images' ids and the captions of a split to their ranks."""
    captions = store.caption_text(store.caption_rows(split))
    return Queries(split, ranks, [store.image_id(int(row)) for row in store.image_rows(split)], captions)
