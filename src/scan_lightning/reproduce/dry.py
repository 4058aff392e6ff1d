"""A dry run: the table shrunk, and generated features and captions in the released layout to run it on."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, permutations
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS
from scan_lightning.reproduce.paper_tables import Table

TRAIN_IMAGES, IMAGES = 100, 25  # of the training split, of each other
REGIONS, WIDTH, SHOWN = 12, 48, 3  # an image: regions, feature width, different things shown
THINGS = ("dog", "ball", "tree", "river", "child", "bicycle", "horse", "boat", "tower", "guitar", "hat")
SHRINK = ("model.embed_size=32", "model.word_size=32", "data.batch_size=50", "trainer.max_epochs=1")


def shrink(table: Table) -> Table:
    """The same table at a size that takes minutes, for the data that `generate` writes."""
    return replace(table, released=None, overrides=(*table.overrides, *SHRINK), dry=True)


def generate(table: Table, folder: Path) -> None:
    """Write features and captions in the released layout, always the same.

    Each thing is a direction in feature space; an image shows three, its regions are noisy copies of them,
    its captions name them. So there is something to learn, if little.

    Args:
        table: whose splits are written.
        folder: where to; made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    directions = random.standard_normal((len(THINGS), WIDTH)).astype(np.float32)
    for split in table.splits:
        images = TRAIN_IMAGES if split == "train" else IMAGES
        shown = np.stack([random.permutation(len(THINGS))[:SHOWN] for _ in range(images)])
        features = directions[np.resize(shown.T, (REGIONS, images)).T]
        features += 0.5 * random.standard_normal(features.shape, dtype=np.float32)
        np.save(folder / f"{split}_ims.npy", features)
        captions = [
            f"a {THINGS[a]} with a {THINGS[b]} near the {THINGS[c]}\n"
            for things in shown
            for a, b, c in islice(permutations(things), RELEASED_CAPTIONS)
        ]
        (folder / f"{split}_caps.txt").write_text("".join(captions), encoding="utf-8")
