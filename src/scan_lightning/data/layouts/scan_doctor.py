"""The doctor for a downloaded folder: what is there, missing or cut short, against the published numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scan_lightning.data.layouts.lines import count_lines
from scan_lightning.data.layouts.npy import read_npy_header
from scan_lightning.data.layouts.scan_release import RELEASED_CAPTIONS, open_scan_release
from scan_lightning.errors import ScanError

ORIGIN = "The data is on Kaggle: kaggle datasets download kuanghueilee/scan-features"
REGIONS, WIDTH = 36, 2048


@dataclass(frozen=True)
class Published:
    """A released data set: images of each split, and the size of its vocabulary."""

    title: str
    folder: str
    images: dict[str, int]
    vocabulary: int


PUBLISHED = (
    Published("Flickr30K", "f30k_precomp", {"train": 29000, "dev": 1014, "test": 1000}, 8481),
    Published(
        "MS-COCO", "coco_precomp", {"train": 113287, "dev": 5000, "test": 1000, "testall": 5000}, 11353
    ),
)


@dataclass(frozen=True)
class Finding:
    """The state of one expected file."""

    path: Path
    state: str  # found, missing, truncated, wrong shape, damaged
    detail: str
    fault: bool


def examine(root: Path) -> list[tuple[str, list[Finding]]]:
    """Look at a downloaded folder, or at one that holds `f30k_precomp` and `coco_precomp`.

    Returns:
        (title, findings) of each data set found.

    Raises:
        ScanError: there is no such folder, or nothing in it is like the released layout.
    """
    if not root.is_dir():
        raise ScanError(f"{root}: there is no such folder. {ORIGIN}")
    below = [(published, root / published.folder) for published in PUBLISHED]
    chosen = [(published, folder) for published, folder in below if folder.is_dir()]
    if not chosen:
        published = _recognise(root)
        if published is None:
            return [("a data set in the released layout, none of the two published", _consistency(root))]
        chosen = [(published, root)]
    return [(published.title, _examine(published, folder)) for published, folder in chosen]


def _recognise(root: Path) -> Published | None:
    """Which data set a folder holds: by its name, else by the number of its training or dev captions."""
    for published in PUBLISHED:
        if published.folder.split("_")[0] in root.resolve().name.lower():
            return published
    for name in ("train", "dev"):
        path = root / f"{name}_caps.txt"
        lines = count_lines(path).count if path.exists() else 0
        for published in PUBLISHED:
            if lines == published.images[name] * RELEASED_CAPTIONS:
                return published
    return None


def _examine(published: Published, folder: Path) -> list[Finding]:
    findings = []
    for name, images in published.images.items():
        findings.append(_features(folder / f"{name}_ims.npy", images))
        findings.append(_captions(folder / f"{name}_caps.txt", images * RELEASED_CAPTIONS))
    findings.append(_vocabulary(folder.resolve().parent / "vocab", published))
    return findings


def _features(path: Path, images: int) -> Finding:
    shape = (images, REGIONS, WIDTH)
    whole = images * REGIONS * WIDTH * 4
    if not path.exists():
        return Finding(path, "missing", f"expected {shape} float32, {whole / 1e9:.2f} GB", True)
    try:
        header = read_npy_header(path)
    except ScanError as error:
        return Finding(path, "damaged", f"{error} Expected {shape} float32.", True)
    if header.shape not in (shape, (images * RELEASED_CAPTIONS, REGIONS, WIDTH)):
        return Finding(path, "wrong shape", f"{header.shape} {header.dtype}, expected {shape} float32", True)
    if header.dtype.name != "float32":
        return Finding(path, "wrong type", f"{header.dtype}, expected float32", True)
    if header.file_bytes < header.expected_bytes:
        return Finding(
            path, "truncated", f"{header.file_bytes:,} bytes, expected {header.expected_bytes:,}", True
        )
    older = "" if header.shape == shape else " (the older form, five equal rows an image)"
    return Finding(path, "found", f"{header.shape} float32{older}", False)


def _captions(path: Path, captions: int) -> Finding:
    if not path.exists():
        return Finding(path, "missing", f"expected {captions:,} captions", True)
    try:
        count = count_lines(path).count
    except ScanError as error:
        return Finding(path, "damaged", str(error), True)
    if count != captions:
        state = "truncated" if count < captions else "wrong length"
        return Finding(path, state, f"{count:,} captions, expected {captions:,}", True)
    return Finding(path, "found", f"{count:,} captions", False)


def _vocabulary(folder: Path, published: Published) -> Finding:
    path = folder / f"{published.folder}_vocab.json"
    if not path.exists():
        return Finding(path, "missing", "no fault: only the authors' checkpoints need it", False)
    try:
        words = len(json.loads(path.read_text(encoding="utf-8"))["word2idx"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Finding(path, "damaged", f"not a vocabulary ({type(error).__name__})", True)
    wrong = words != published.vocabulary
    expected = f", expected {published.vocabulary:,}" if wrong else ""
    return Finding(path, "wrong length" if wrong else "found", f"{words:,} words{expected}", wrong)


def _consistency(root: Path) -> list[Finding]:
    """Without published numbers: whether the files agree with each other."""
    try:
        source = open_scan_release(root)
    except ScanError as error:
        return [Finding(root, "faulty", str(error), True)]
    detail = f"{source.images:,} images, {source.regions:,} regions of {source.feature_dim}"
    return [Finding(root, "found", detail, False)]
