"""Small stores and released folders with known content for the tests of the store."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scan_lightning.commands import data as data_command
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.errors import ScanError

SPLITS = ("train", "val", "test")
WORDS = ["a", "dog", "red", "cat", "runs", "on", "the", "blue", "street", ",", "with", "two", "balls"]


def make_records(count: int = 30, dim: int = 8, seed: int = 0, dtype: str = "float32") -> list[ImageRecord]:
    """Records with 1 to 7 regions, 1 to 4 captions (some empty), boxes for two images of three."""
    rng = np.random.default_rng(seed)
    records = []
    for row in range(count):
        regions = 1 + int(rng.integers(7))
        corners = rng.uniform(0, 40, (regions, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(0, 40, (regions, 2))], axis=1)
        captions = [
            " ".join(rng.choice(WORDS, int(rng.integers(9)))) for _ in range(1 + int(rng.integers(4)))
        ]
        captions[0] = f"{captions[0]} word{row % 5}".strip()
        records.append(
            ImageRecord(
                id=f"image-{seed}-{row}",
                split=SPLITS[int(rng.integers(3))] if row > 2 else SPLITS[row],
                width=100 if row % 3 else 0,
                height=80 if row % 3 else 0,
                features=rng.standard_normal((regions, dim)).astype(dtype),
                boxes=boxes.astype(np.float32) if row % 3 else None,
                captions=captions,
            )
        )
    return records


def write(path: Path, records: Sequence[ImageRecord], **changes: Any) -> Path:
    """Write records without progress; the totals are theirs unless changed."""
    options: dict[str, Any] = {
        "source": "test",
        "feature_dim": records[0].features.shape[1],
        "images": len(records),
        "regions": sum(len(record.features) for record in records),
        "progress": False,
    }
    write_store(path, iter(records), **(options | changes))
    return path


def write_release(
    root: Path,
    images: dict[str, int],
    *,
    regions: int = 3,
    dim: int = 8,
    captions_each: int = 5,
    extras: bool = False,
) -> dict[str, np.ndarray]:
    """A folder in the released layout; the features of each split."""
    root.mkdir(parents=True, exist_ok=True)
    features = {}
    for index, (name, count) in enumerate(images.items()):
        rng = np.random.default_rng(index)
        features[name] = rng.standard_normal((count, regions, dim)).astype(np.float32)
        np.save(root / f"{name}_ims.npy", features[name])
        lines = [
            f"{name} picture {row // captions_each} , caption {row % captions_each} ."
            for row in range(count * captions_each)
        ]
        (root / f"{name}_caps.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        if extras:
            corners = rng.uniform(0, 100, (count, regions, 2))
            boxes = np.concatenate([corners, corners + 10], axis=2).astype(np.float32)
            np.save(root / f"{name}_boxes.npy", boxes)
            ids = "".join(f"{name}-{row}.jpg\n" for row in range(count))
            (root / f"{name}_ids.txt").write_text(ids, encoding="utf-8")
    return features


def run_data(*arguments: str | Path) -> int:
    """`scan-lightning data ARGUMENTS` in this process; a ScanError comes through."""
    parser = argparse.ArgumentParser(prog="scan-lightning data")
    data_command.configure(parser)
    return data_command.run(parser.parse_args([str(argument) for argument in arguments]))


def fault_of(action: Callable[[], object]) -> str:
    """The message of the ScanError that the action must raise: one line of text, no traceback words."""
    try:
        action()
    except ScanError as error:
        message = str(error)
        assert "\n" not in message
        assert "Traceback" not in message
        return message
    raise AssertionError("no ScanError was raised")


def leftovers(folder: Path) -> list[str]:
    """Names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())
