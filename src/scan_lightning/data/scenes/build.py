"""Builds the scenes data set: pictures in a folder, everything else in a store."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scan_lightning.data.scenes.draw import render
from scan_lightning.data.scenes.features import FEATURE_DIM, region_features
from scan_lightning.data.scenes.grammar import Caption, write_captions
from scan_lightning.data.scenes.proposals import propose
from scan_lightning.data.scenes.world import Scene, sample_scene
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.errors import ScanError
from scan_lightning.files import writing

_NAME = "scene-{split}-{index:05d}.png"


@dataclass(frozen=True)
class Draft:
    """All of one image but its pixels."""

    name: str  # the picture's file name, which is the image's id
    split: str
    scene: Scene
    captions: list[Caption]
    boxes: NDArray[np.float32]  # (regions, 4) x1, y1, x2, y2 in pixels
    regions_of: list[tuple[int, ...]]  # for each object, the rows of `boxes` that show it

    @property
    def links(self) -> list[tuple[int, int, int]]:
        """(caption, character at which the word starts, row of `boxes`), as `ImageRecord` takes them."""
        return [
            (number, mention.start, row)
            for number, caption in enumerate(self.captions)
            for mention in caption.mentions
            for thing in mention.things
            for row in self.regions_of[thing]
        ]


def draft(split: str, index: int, seed: int) -> Draft:
    """One image; the same for the same arguments, whatever else was made before."""
    random = Random(f"scan-lightning scenes {seed} {split} {index}")
    scene = sample_scene(random)
    captions = write_captions(scene, random)
    boxes, regions_of = propose(scene, random)
    return Draft(_NAME.format(split=split, index=index), split, scene, captions, boxes, regions_of)


def build_scenes(
    out: Path,
    *,
    images_dir: Path,
    train: int = 1500,
    val: int = 200,
    test: int = 200,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Render scenes and write their store; an existing store and an existing folder of scenes are replaced.

    Args:
        out: the store to write.
        images_dir: the folder for the pictures, `scene-SPLIT-NUMBER.png`; image ids are these names.
        train: number of training images.
        val: number of validation images.
        test: number of test images.
        seed: the same gives the same pictures, captions, boxes and features, byte for byte.
        progress: show progress on stderr.

    Raises:
        ScanError: a file cannot be written, or `images_dir` holds something else than scenes.
    """
    counts = {"train": train, "val": val, "test": test}
    drafts = [draft(split, index, seed) for split, count in counts.items() for index in range(count)]
    with _picture_folder(images_dir) as folder:
        write_store(
            out,
            _records(drafts, folder),
            source=f"scenes, seed {seed}",
            feature_dim=FEATURE_DIM,
            images=len(drafts),
            regions=sum(len(item.boxes) for item in drafts),
            progress=progress,
        )


def _records(drafts: list[Draft], folder: Path) -> Iterator[ImageRecord]:
    for item in drafts:
        pixels = render(item.scene)
        with writing(folder):
            Image.fromarray(pixels).save(folder / item.name, compress_level=2)
        yield ImageRecord(
            id=item.name,
            split=item.split,
            width=item.scene.width,
            height=item.scene.height,
            features=region_features(pixels, item.boxes),
            boxes=item.boxes,
            captions=[caption.text for caption in item.captions],
            links=item.links,
        )


@contextmanager
def _picture_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, which takes its name when the block ends well."""
    if target.exists() and not _holds_scenes_only(target):
        raise ScanError(
            f"{target}: is not a folder of scenes, so it is not replaced. Expected a new name, or a folder "
            f"with pictures such as {_NAME.format(split='train', index=0)} only."
        )
    unfinished = target.with_name(f".{target.name}.partial")
    with writing(target):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    try:
        yield unfinished
        with writing(target):
            if target.exists():
                shutil.rmtree(target)
            unfinished.replace(target)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(unfinished, ignore_errors=True)


def _holds_scenes_only(folder: Path) -> bool:
    return folder.is_dir() and all(path.match("scene-*.png") for path in folder.iterdir())
