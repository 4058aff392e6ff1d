"""Stores made from stores: another number format, a part, several in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.source_files import iter_lines
from scan_lightning.data.store import Store
from scan_lightning.data.text import tokenizer
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.errors import ScanError

_BLOCK = 256  # images read at once


def store_records(store: Store, image_rows: np.ndarray) -> Iterator[ImageRecord]:
    """Images of a store as records, in the order of `image_rows` (n,), a block in memory at a time."""
    captions_of = _Groups(store.caption_image, store.image_count)
    links_of = _Groups(store.gold_links[:, 0], store.caption_count)
    for start in range(0, len(image_rows), _BLOCK):
        rows = image_rows[start : start + _BLOCK]
        features, counts = store.read_regions(rows)
        captions = [captions_of[row] for row in rows.tolist()]
        texts = iter(store.caption_text(np.concatenate(captions)))
        for index, row in enumerate(rows.tolist()):
            own = [next(texts) for _ in captions[index]]
            boxes = store.boxes(row)
            yield ImageRecord(
                store.image_id(row),
                store.split_of(row),
                *store.image_size(row),
                features=features[index, : counts[index]],
                boxes=None if np.isnan(boxes).all() else boxes,
                captions=own,
                links=_links(store, row, captions[index], own, links_of),
                where=f"{store.path}: image row {row}",
            )


def convert(source: Store, out: Path, dtype: str, *, overwrite: bool = False, progress: bool = True) -> None:
    """Write a store with its features as `float16` (values are rounded to 11 bits) or `float32`.

    Raises:
        ScanError: a value is too large for float16, or `out` cannot be written.
    """
    rows = np.arange(source.image_count)
    _write(out, [(source, rows)], source.source, dtype, overwrite=overwrite, progress=progress)


def subset(
    source: Store,
    out: Path,
    *,
    splits: Sequence[str] | None = None,
    images: int | None = None,
    ids: Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> None:
    """Write a part of a store; the lexicon is counted anew on what is left.

    Args:
        source: the store to read.
        out: the store to write.
        splits: only these splits.
        images: only the first so many images of each split.
        ids: only the images named in this file, one id a line.
        overwrite: replace `out` when it exists.
        progress: show progress on stderr.

    Raises:
        ScanError: an unknown split or id, nothing left, or `out` cannot be written.
    """
    chosen = np.zeros(source.image_count, dtype=bool)
    for split in splits or source.splits:
        chosen[source.image_rows(split)[:images]] = True
    if ids is not None:
        named = np.array([source.find_image(name) for name in iter_lines(ids) if name], dtype=np.int64)
        chosen &= np.isin(np.arange(source.image_count), named)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise ScanError(f"{source.path}: nothing is left of its {source.image_count:,} images. Choose more.")
    name = f"{source.source} ({len(rows):,} of {source.image_count:,} images)"
    _write(out, [(source, rows)], name, str(source.feature_dtype), overwrite=overwrite, progress=progress)


def merge(sources: Sequence[Store], out: Path, *, overwrite: bool = False, progress: bool = True) -> None:
    """Write several stores as one; each image keeps its split, the lexicon is counted over all.

    Raises:
        ScanError: the stores differ in feature width, number format or tokeniser, or share an id; or `out`
            cannot be written.
    """
    first = sources[0]
    for store in sources[1:]:
        for what, one, other, advice in (
            ("features are wide", first.feature_dim, store.feature_dim, "Only equal widths can be merged."),
            ("features are", first.feature_dtype, store.feature_dtype, "Use `data convert` on one first."),
            ("tokenizer is", first.tokenizer, store.tokenizer, "Build one of them again."),
        ):
            if one != other:
                raise ScanError(f"{store.path}: {what} {other}, those of {first.path} {one}. {advice}")
    seen: dict[str, Store] = {}
    for store in sources:
        for image_id in store.image_ids:
            if image_id in seen:
                raise ScanError(
                    f"{store.path}: image {image_id!r} is in {seen[image_id].path} too. Ids must be unique; "
                    "take it out of one of them with `data subset --ids`."
                )
        seen |= dict.fromkeys(store.image_ids, store)
    name = " + ".join(dict.fromkeys(store.source for store in sources))
    parts = [(store, np.arange(store.image_count)) for store in sources]
    _write(out, parts, name, str(first.feature_dtype), overwrite=overwrite, progress=progress)


def _write(
    out: Path, parts: Sequence[tuple[Store, np.ndarray]], source: str, dtype: str, **options: bool
) -> None:
    for store, _ in parts:
        if out.exists() and out.samefile(store.path):
            raise ScanError(f"{out}: is read and would be written. Give another name for --out.")
    regions = sum(int(np.diff(store.region_offsets)[rows].sum()) for store, rows in parts)
    write_store(
        out,
        chain.from_iterable(store_records(store, rows) for store, rows in parts),
        source=source,
        feature_dim=parts[0][0].feature_dim,
        images=sum(len(rows) for _, rows in parts),
        regions=regions,
        dtype=dtype,
        tokenizer_name=parts[0][0].tokenizer,
        **options,
    )


class _Groups:
    """Rows by the owner they name: `groups[owner]` are the rows whose value is `owner`, ascending."""

    def __init__(self, owners: np.ndarray, count: int) -> None:
        self.order = np.argsort(owners, kind="stable")
        self.bounds = np.searchsorted(owners[self.order], np.arange(count + 1))

    def __getitem__(self, owner: int) -> np.ndarray:
        return self.order[self.bounds[owner] : self.bounds[owner + 1]]


def _links(
    store: Store, row: int, captions: np.ndarray, texts: Sequence[str], links_of: _Groups
) -> list[tuple[int, int, int]]:
    """One image's gold links as a record holds them: by character, within the record."""
    found = []
    first = int(store.region_offsets[row])
    for index, caption in enumerate(captions.tolist()):
        links = store.gold_links[links_of[caption]]
        if not len(links):
            continue
        (spans,) = tokenizer(store.tokenizer).spans([texts[index]])
        for _, position, region in links.tolist():
            found.append((index, _original_offset(texts[index], spans[position][1]), region - first))
    return found


def _original_offset(text: str, lowered_offset: int) -> int:
    """Where a place in the lower-cased text is in the text itself: a few letters grow when lowered."""
    return next(offset for offset in range(len(text) + 1) if len(text[:offset].lower()) == lowered_offset)
