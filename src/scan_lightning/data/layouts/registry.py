"""The layouts that `data build` knows, by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from scan_lightning.data.layouts.fault import reading
from scan_lightning.data.layouts.source import Source
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanWarning

LAYOUTS = ("scan-release", "bottom-up-tsv", "npz-folder", "hdf5-vqa")


def open_layout(name: str, root: Path, captions: Path | None = None) -> Source:
    """Find, count and check a data set.

    Args:
        name: One of LAYOUTS.
        root: The folder with the files.
        captions: Where the captions are, for layouts that hold features only; by default `root`.

    Raises:
        ScanError: whatever the layout finds wrong, now or while its records are read.
    """
    with reading(root):
        source = _open(name, root, captions)
    return replace(source, records=lambda: _guarded(source, root))


def _guarded(source: Source, root: Path) -> Iterator[ImageRecord]:
    records = source.records()
    while True:
        with reading(root):
            record = next(records, None)
        if record is None:
            return
        yield record


def _open(name: str, root: Path, captions: Path | None) -> Source:
    if name == "scan-release":
        from scan_lightning.data.layouts.scan_release import open_scan_release

        if captions is not None:
            warnings.warn("--captions has no effect: scan-release has its own", ScanWarning, stacklevel=2)
        return open_scan_release(root)
    if name == "bottom-up-tsv":
        from scan_lightning.data.layouts.bottom_up_tsv import open_bottom_up_tsv

        return open_bottom_up_tsv(root, captions)
    if name == "npz-folder":
        from scan_lightning.data.layouts.npz_folder import open_npz_folder

        return open_npz_folder(root, captions)
    from scan_lightning.data.layouts.hdf5_vqa import open_hdf5_vqa

    return open_hdf5_vqa(root, captions)
