"""Check everything a store claims: one pass over the file, every fault reported, none stops the search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.check_blocks import check_features, check_small
from scan_lightning.data.check_content import check_content
from scan_lightning.data.format import DATASETS, GOLD_LINKS
from scan_lightning.data.header import Header, has, read_header
from scan_lightning.data.probe import probe
from scan_lightning.data.seal import check_seal
from scan_lightning.progress import progress as show_progress


def check_store(path: str | Path, *, progress: bool = True) -> list[str]:
    """Verify counts, offsets, values, ids, boxes, lexicon, checksums and the whole-file digest.

    Args:
        path: The store.
        progress: Show progress on stderr.

    Returns:
        One line a fault; empty when there is none.

    Raises:
        ScanError: it cannot be opened as a store at all, so nothing was read.
    """
    path = Path(path)
    header = read_header(path)
    faults: list[str] = []
    with show_progress(f"checking {path.name}", path.stat().st_size, "bytes", shown=progress) as advance:
        broken_seal = check_seal(path)
        harmful: dict[str, str] = {}
        if broken_seal:
            faults.append(broken_seal)
            harmful = probe(path, [name for name in (*DATASETS, GOLD_LINKS) if name != "region/features"])
            faults += [f"/{name}: is damaged so that HDF5 {harm}" for name, harm in harmful.items()]
        with h5py.File(path, "r") as file:
            names = [*DATASETS, *([GOLD_LINKS] if has(file, GOLD_LINKS) else [])]
            small: dict[str, np.ndarray | None] = dict.fromkeys(harmful)
            for name in names:
                if name != "region/features" and name not in harmful:
                    small[name] = check_small(file, name, faults)
            advance(header.identity[2] - header.feature_bytes)
            faults += check_features(path, file, header, small, advance)
            wrong_shapes = _check_shapes(small, header)
            faults += wrong_shapes or check_content(small)
    return faults


def _check_shapes(small: Mapping[str, np.ndarray | None], header: Header) -> list[str]:
    """Each dataset's shape and type, as far as it could be read, against the others."""
    sizes = {"N": header.images, "R": header.regions, "C": header.captions}
    for letter, name in (("T", "caption/tokens"), ("V", "lexicon/word")):
        rows = small[name]
        if rows is not None:
            sizes[letter] = len(rows)
    sizes |= {"N+1": sizes["N"] + 1, "C+1": sizes["C"] + 1}
    faults = []
    for name, (letters, kind) in DATASETS.items():
        rows = small.get(name)
        if rows is None:  # the features, which the header vouches for, or what could not be read
            continue
        shape = tuple(sizes.get(letter) if isinstance(letter, str) else letter for letter in letters)
        if rows.shape != shape and None not in shape:
            faults.append(f"/{name}: has shape {rows.shape}, expected {shape}")
        if not (rows.dtype.kind == "O" if kind == "str" else rows.dtype == np.dtype(kind)):
            faults.append(f"/{name}: is {rows.dtype}, expected {kind}")
    links = small.get(GOLD_LINKS)
    if links is not None and links.shape[1:] != (3,):
        faults.append(f"/{GOLD_LINKS}: has shape {links.shape}, expected (links, 3)")
    return faults
