"""Check everything a store claims: one pass over the file, every fault reported, none stops the search."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.check_blocks import check_features, check_small
from scan_lightning.data.check_content import check_content
from scan_lightning.data.format import DATASETS, GOLD_LINKS
from scan_lightning.data.header import read_header
from scan_lightning.data.progress import progress as show_progress
from scan_lightning.data.seal import check_seal
from scan_lightning.errors import ScanError


def check_store(path: str | Path, *, progress: bool = True) -> list[str]:
    """Verify counts, offsets, values, ids, boxes, lexicon, checksums and the whole-file digest.

    Args:
        path: The store.
        progress: Show progress on stderr.

    Returns:
        One line a fault; empty when there is none.
    """
    path = Path(path)
    try:
        header = read_header(path)
    except ScanError as error:
        return [str(error)]
    faults: list[str] = []
    with show_progress(f"checking {path.name}", path.stat().st_size, "bytes", shown=progress) as advance:
        fault = check_seal(path)
        if fault:
            faults.append(fault)
        with h5py.File(path, "r") as file:
            wrong_shapes = _check_shapes(file)
            faults += wrong_shapes
            names = [name for name in (*DATASETS, GOLD_LINKS) if name in file]
            small = {name: check_small(file, name, faults) for name in names if name != "region/features"}
            feature_bytes = file["region/features"].nbytes
            advance(max(0, header.identity[2] - feature_bytes))
            faults += check_features(path, file, header, small, advance)
            if not wrong_shapes:
                faults += check_content(small)
    return faults


def _check_shapes(file: h5py.File) -> list[str]:
    """Each dataset's rank, type and length against the others."""
    sizes = {
        "N": len(file["image/id"]),
        "R": len(file["region/features"]),
        "D": int(file.attrs["feature_dim"]),
        "C": len(file["caption/text"]),
        "T": len(file["caption/tokens"]),
        "V": len(file["lexicon/word"]),
    }
    sizes |= {"N+1": sizes["N"] + 1, "C+1": sizes["C"] + 1}
    faults = []
    for name, (letters, kind) in DATASETS.items():
        dataset = file[name]
        shape = tuple(sizes[letter] if isinstance(letter, str) else letter for letter in letters)
        if dataset.shape != shape:
            faults.append(f"/{name}: has shape {dataset.shape}, expected {shape}")
        if not _is_kind(dataset, kind):
            faults.append(f"/{name}: is {dataset.dtype}, expected {kind}")
    if GOLD_LINKS in file and file[GOLD_LINKS].shape[1:] != (3,):
        faults.append(f"/{GOLD_LINKS}: has shape {file[GOLD_LINKS].shape}, expected (links, 3)")
    return faults


def _is_kind(dataset: h5py.Dataset, kind: str) -> bool:
    if kind == "str":
        return h5py.check_string_dtype(dataset.dtype) is not None
    if kind == "float":
        return bool(dataset.dtype.kind == "f")
    return bool(dataset.dtype == np.dtype(kind))
