"""Builds the scenes data set: pictures in a folder, everything else in a store."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scan_lightning.data.scenes.boxes import propose
from scan_lightning.data.scenes.draw import render
from scan_lightning.data.scenes.features import FEATURE_DIM, region_features
from scan_lightning.data.scenes.grammar import Caption, write_captions
from scan_lightning.data.scenes.world import Scene, sample_scene
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.errors import ScanError
from scan_lightning.files import writing

_NAME = "scene-{split}-{index:05d}.png"
_WORTH_FORKING = 40  # pictures


@dataclass(frozen=True)
class Draft:
    """All of one image but its pixels.

    Attributes:
        name: The picture's file name, which is the image's id.
        split: `train`, `val` or `test`.
        scene: What is drawn.
        captions: Five sentences about it.
        boxes: (regions, 4) float32, x1, y1, x2, y2 in pixels.
        regions_of: For each object, the rows of `boxes` that show it.
    """

    name: str
    split: str
    scene: Scene
    captions: list[Caption]
    boxes: NDArray[np.float32]
    regions_of: list[tuple[int, ...]]

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
    """Thinks out one image; the same for the same arguments, whatever else was made before."""
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
    """Renders scenes and writes their store.

    Both appear under their names only when complete. An existing store and an existing folder of scenes are
    replaced.

    Args:
        out: The store to write.
        images_dir: The folder for the pictures, `scene-SPLIT-NUMBER.png`; image ids are these names.
        train: Number of training images.
        val: Number of validation images.
        test: Number of test images.
        seed: Same seed, same pictures, captions, boxes and features, byte for byte.
        progress: Show progress on stderr.

    Raises:
        ScanError: A file cannot be written, or `images_dir` holds something else than scenes.
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
    with _mapping(len(drafts)) as mapped:
        features = mapped(_picture, drafts, itertools.repeat(folder))
        for item, described in zip(drafts, features, strict=True):
            yield ImageRecord(
                id=item.name,
                split=item.split,
                width=item.scene.width,
                height=item.scene.height,
                features=described,
                boxes=item.boxes,
                captions=[caption.text for caption in item.captions],
                links=item.links,
            )


def _picture(item: Draft, folder: Path) -> NDArray[np.float32]:
    """Draws and saves one picture; the features of its regions."""
    pixels = render(item.scene)
    with writing(folder):
        Image.fromarray(pixels).save(folder / item.name, compress_level=2)
    return region_features(pixels, item.boxes)


@contextmanager
def _mapping(count: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` in order, over all cores when there is enough to do and the system can fork."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores == 1 or count < _WORTH_FORKING:
        yield map
        return
    pool = ProcessPoolExecutor(
        cores,
        mp_context=multiprocessing.get_context("fork"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # Ctrl-C is the parent's to answer
    )
    try:
        yield partial(pool.map, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)


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
