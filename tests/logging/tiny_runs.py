"""A store and settings with which a training takes a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scan_lightning.data.writer import ImageRecord, write_store

COLOURS = ("red", "green", "blue", "black")
THINGS = ("car", "dog", "house", "tree")
TINY = [
    "data.batch_size=8",
    "data.word_threshold=1",
    "model.embed_size=12",
    "model.word_size=6",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
]


def write_tiny(path: Path, *, with_boxes: bool = True, with_empty_captions: bool = False) -> None:
    random = np.random.default_rng(0)
    meaning = random.normal(size=(8, 10))
    records = []
    for index in range(24):
        colour, thing = index % 4, index // 4 % 4
        features = meaning[[colour, 4 + thing, colour]] + 0.1 * random.normal(size=(3, 10))
        words = f"{COLOURS[colour]} {THINGS[thing]}"
        boxes = np.array([[0, 0, 40, 30], [20, 10, 90, 60], [50, 50, 100, 80]], float) if with_boxes else None
        captions = ["" if with_empty_captions else f"A {words}.", f"There is a {words} here."]
        split = "train" if index < 16 else "val"
        records.append(ImageRecord(f"{index:03}.png", split, 100, 80, features, boxes, captions))
    write_store(
        path, records, source="tests", feature_dim=10, images=24, regions=72, dtype="float32", progress=False
    )
