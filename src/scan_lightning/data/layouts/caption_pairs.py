"""Captions as `{split}_ids.txt`, one image a line, and `{split}_caps.txt`, as many for each, in order."""

from __future__ import annotations

from pathlib import Path

from scan_lightning.data.layouts.caption_index import STORE_SPLIT, Entry
from scan_lightning.data.layouts.source_files import count_lines, iter_lines
from scan_lightning.errors import ScanError


def split_files(folder: Path) -> list[Entry]:
    """The images of all splits, none when there are no such files; a ScanError when they do not fit."""
    entries: list[Entry] = []
    for name in ("train", "dev", "val", "test"):
        ids_file, captions_file = folder / f"{name}_ids.txt", folder / f"{name}_caps.txt"
        if ids_file.exists() != captions_file.exists():
            missing = captions_file if ids_file.exists() else ids_file
            raise ScanError(f"{missing}: is missing. A split needs its ids and its captions.")
        if not ids_file.exists():
            continue
        ids = list(iter_lines(ids_file))
        count = count_lines(captions_file).count
        if not ids or count == 0 or count % len(ids):
            raise ScanError(
                f"{captions_file}: has {count:,} captions for the {len(ids):,} images of {ids_file.name}; "
                "expected a multiple."
            )
        captions = iter_lines(captions_file)
        each = count // len(ids)
        entries += [
            Entry(image, STORE_SPLIT[name], tuple(next(captions) for _ in range(each))) for image in ids
        ]
    return entries
