"""What the store of these tests is made of."""

from __future__ import annotations

import numpy as np

from scan_lightning.data.writer import ImageRecord

WORDS = ["a", "red", "dog", "cat", "runs", "sleeps", "on", "grass"]


def records() -> list[ImageRecord]:
    rng = np.random.default_rng(1)
    found = []
    for row in range(23):
        captions = [" ".join(rng.choice(WORDS, int(rng.integers(0, 9)))) for _ in range(1 + row % 4)]
        captions[0] = f"A rare{row} dog"
        split = ("train", "val", "train", "test", "train")[row % 5]
        features = rng.standard_normal((1 + row % 5, 6)).astype(np.float16)
        found.append(ImageRecord(f"image-{row}", split, 0, 0, features, None, captions))  # type: ignore[arg-type]
    return found
