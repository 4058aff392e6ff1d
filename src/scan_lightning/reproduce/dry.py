"""A dry run: the table shrunk, and generated features and captions in the released layout to run it on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS
from scan_lightning.reproduce.tables import Table

IMAGES = {"train": 100, "dev": 25, "test": 25, "testall": 25}
REGIONS, WIDTH, SHOWN = 12, 48, 3  # per image: regions, feature width, different things to be seen
THINGS = (
    "dog",
    "ball",
    "tree",
    "river",
    "child",
    "bicycle",
    "horse",
    "boat",
    "tower",
    "guitar",
    "hat",
    "snow",
)
PATTERNS = (
    "a {0} with a {1} near the {2}",
    "the {1} is behind a {0}",
    "two people look at a {2} and a {0}",
    "a {2} , seen with a {1}",
    "there is a {0} here",
)
SHRINK = ("model.embed_size=32", "model.word_size=32", "data.batch_size=50", "trainer.max_epochs=1")


def shrink(table: Table) -> Table:
    """The same table at a size that takes minutes, for the data that `generate` writes."""
    needs = replace(table.needs, splits={split: IMAGES[split] for split in table.needs.splits}, width=WIDTH)
    return replace(table, needs=needs, overrides=(*table.overrides, *SHRINK), dry=True)


def generate(table: Table, folder: Path) -> None:
    """Write features and captions in the released layout, always the same.

    Each thing is a direction in feature space; an image shows three, its regions are noisy copies of them,
    its captions name them. So there is something to learn, if little.

    Args:
        table: a shrunk table; its splits are written.
        folder: where to; made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    directions = random.standard_normal((len(THINGS), WIDTH)).astype(np.float32)
    for split, images in table.needs.splits.items():
        assert images is not None
        shown = np.stack([random.permutation(len(THINGS))[:SHOWN] for _ in range(images)])
        features = directions[np.resize(shown.T, (REGIONS, images)).T]
        features += 0.5 * random.standard_normal(features.shape, dtype=np.float32)
        np.save(folder / f"{split}_ims.npy", features)
        captions = [
            PATTERNS[number].format(*(THINGS[thing] for thing in things))
            for things in shown
            for number in range(RELEASED_CAPTIONS)
        ]
        (folder / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
