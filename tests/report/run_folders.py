"""Folders as `train` and `evaluate` leave them, written in the plain way."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from scan_lightning.data.store import Store
from scan_lightning.model.checkpoint import load
from scan_lightning.report.rank_model import rank_model
from scan_lightning.retrieval.queries import pack_queries
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.statistics import intervals

SETTINGS = {
    "attention": {"rule": "attention", "direction": "t2i", "smoothing": 9.0, "aggregation": "mean"},
    "loss": {"margin": 0.2, "negatives": "hardest", "warmup_steps": 0},
    "model": {"normalize_regions": True, "bidirectional": True},
    "trainer": {"max_epochs": 30, "devices": 1},
    "run_dir": "outputs/none",
}
SIDE = {"r1": 10.0, "r5": 20.0, "r10": 30.0, "medr": 5.0, "meanr": 9.5}


def write_training(
    folder: Path, checkpoint: Path, store: Path, *, rsum: float = 120.0, **changes: Any
) -> Path:
    """A training's folder; `changes` are dotted keys with __ for the dot."""
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint, folder / "checkpoints" / "best.ckpt")
    settings = copy.deepcopy(SETTINGS)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            settings[section][name] = value
        else:
            settings[section] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    rows = ["step,epoch,train/loss,val/rsum"]
    for step in range(1, 61):
        rows.append(f"{step},{step // 20},{200 / step:.3f},")
        if step % 20 == 0:
            rows.append(f"{step},{step // 20},,{rsum * step / 60:.1f}")
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    results = {"split": "val", "images": 4, "captions": 20, "i2t": SIDE, "t2i": SIDE, "rsum": rsum}
    (folder / "results.json").write_text(json.dumps(results))
    data = {"path": str(store), "source": "scenes, seed 1", "train": 16}
    record = {"command": "train", "status": "done", "steps": 60, "wall_seconds": 3723.0, "data": data}
    (folder / "run.json").write_text(json.dumps(record | {"commit": "0123456789abcdef", "dirty": True}))
    return folder


def write_evaluation(folder: Path, checkpoint: Path, store: Path) -> Path:
    """An evaluation's folder on the test split."""
    folder.mkdir(parents=True)
    queries = rank_model(load(checkpoint), Store(store), "test")
    (folder / "ranks.npz").write_bytes(pack_queries(queries))
    results = {
        "split": "test",
        "images": queries.ranks.image_count,
        "captions": len(queries.captions),
        **RetrievalMetrics.from_ranks(queries.ranks).as_dict(),
        "interval": intervals(queries.ranks),
    }
    (folder / "results.json").write_text(json.dumps(results))
    record = {"command": "evaluate", "status": "done", "checkpoint": str(checkpoint), "data": str(store)}
    (folder / "run.json").write_text(json.dumps(record))
    return folder
